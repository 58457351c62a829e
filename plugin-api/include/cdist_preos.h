/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The C face of cdist's plugin API, major version 1: a PreOS in C, C++ or whatever else can export two symbols.
 * FROZEN for all of 1.x. Nothing here changes; new abilities come through get_extension.
 *
 *     static int commandline(int argc, const char *const *argv, const cdist_preos_host *host) { ... }
 *     #define PREOSES(X) X("netbsd", commandline, "NetBSD, a minimal OS")
 *     CDIST_EXPORT_PREOSES(PREOSES)
 *
 * Build it with `cc -shared -fPIC -o netbsd.so netbsd.c`.
 */
#ifndef CDIST_PREOS_H
#define CDIST_PREOS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The levels of log(). */
enum { CDIST_DEBUG = 10, CDIST_VERBOSE = 15, CDIST_INFO = 20, CDIST_WARNING = 30, CDIST_ERROR = 40 };

/* What cdist does for a plugin. Every function takes `ctx` first, may be called from any thread until commandline
 * returns, and copies what it is given. All strings are UTF-8 and end with a zero byte. Strings that cdist returns
 * live until commandline returns; NULL stands for "there is none". */
typedef struct cdist_preos_host {
    uint32_t size; /* of this structure in the running cdist, in bytes; never less than sizeof */
    void *ctx;

    void (*log)(void *ctx, int level, const char *message);
    /* The message of the error that commandline is about to return. */
    void (*fail)(void *ctx, const char *message);
    /* A step with a name and a duration, which the user sees. `total` is 0 where it is not known. */
    uint64_t (*step_begin)(void *ctx, const char *name);
    void (*step_progress)(void *ctx, uint64_t step, uint64_t done, uint64_t total, const char *what);
    void (*step_end)(void *ctx, uint64_t step, int ok);
    /* Not 0 once the user asked to stop. */
    int (*cancelled)(void *ctx);

    int (*verbosity)(void *ctx); /* -1 quiet, 0 normal, 1 to 4 for each -v */
    int (*beta)(void *ctx);      /* not 0 if the user allows beta features */
    const char *(*cdist_exe)(void *ctx);
    const char *(*conf)(void *ctx, const char *key);         /* a setting of cdist's configuration */
    const char *(*data_dir)(void *ctx, const char *preos);   /* the directory of that name beside the plugin */

    /* Each takes a record: a line "KIND VERSION", then lines "KEY VALUE"; in a VALUE, \\ stands for a backslash, \n for a
     * line end and \r for a carriage return. Returns 0 and sets *answer to a record, or an exit status and sets it to the
     * message of the error, fit for fail(). `answer` may be NULL. The keys stand in the documentation of
     * cdist-plugin-api: CommandRequest, Recipe, ConfigureRequest. */
    int (*run)(void *ctx, const char *command, const char **answer);
    int (*build)(void *ctx, const char *recipe, const char **answer);
    int (*configure)(void *ctx, const char *root, const char *request, const char **answer);

    /* An ability that 1.0 did not know. */
    const void *(*get_extension)(void *ctx, const char *id);
} cdist_preos_host;

/* `argv` holds what follows `cdist preos NAME`, `argc` strings and then NULL. The value is the exit status; with
 * fail() it is that of an error, 2 for wrong usage, 1 for the rest. No C++ exception may leave it. */
typedef int cdist_preos_commandline(int argc, const char *const *argv, const cdist_preos_host *host);

typedef struct cdist_preos_entry {
    const char *name;
    cdist_preos_commandline *commandline;
} cdist_preos_entry;

#define CDIST_PREOS_EXPORT __attribute__((visibility("default")))

/* The PreOSes, in the order of _cdist_preos, and then {0, 0}. */
CDIST_PREOS_EXPORT extern const cdist_preos_entry _cdist_preos_c1[];
/* What cdist reads to list the plugin, without running any of it; see CDIST_EXPORT_PREOSES. */
CDIST_PREOS_EXPORT extern const char _cdist_preos[];

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#define CDIST_PREOS_COMPILER __VERSION__
#else
#define CDIST_PREOS_COMPILER "gcc " __VERSION__
#endif

/* Defines both symbols from a list of X(name, commandline, summary), once in a library. */
#define CDIST_EXPORT_PREOSES(LIST)                                                                                     \
    const char _cdist_preos[] =                                                                                        \
        "cdist-preos 1.0\nbuilt-with " CDIST_PREOS_COMPILER "\n" LIST(CDIST_PREOS_LINE_);                              \
    const cdist_preos_entry _cdist_preos_c1[] = {LIST(CDIST_PREOS_ENTRY_){0, 0}};
#define CDIST_PREOS_LINE_(name, commandline, summary) "preos " name "\t" name "\t" summary "\n"
#define CDIST_PREOS_ENTRY_(name, commandline, summary) {name, commandline},

#endif
