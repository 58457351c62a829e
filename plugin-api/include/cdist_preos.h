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
 * live until commandline returns; NULL stands for "there is none".
 *
 * As text for people, NULL is an empty string and broken UTF-8 is replaced. As a record or a root directory both are an
 * error; as a key or the name of a PreOS both get NULL, and a line in the log. */
typedef struct cdist_preos_host {
    uint32_t size; /* of this structure in the running cdist, in bytes; never less than sizeof */
    void *ctx;

    void (*log)(void *ctx, int level, const char *message);
    /* The message of the error that commandline is about to return. */
    void (*fail)(void *ctx, const char *message);
    /* A step with a name and a duration, which the user sees. `total` is 0 where it is not known. */
    uint64_t (*step_begin)(void *ctx, const char *name);
    void (*step_progress)(void *ctx, uint64_t step, uint64_t done, uint64_t total, const char *what);
    void (*step_end)(void *ctx, uint64_t step, int ok, const char *outcome); /* such as "312 packages" */
    /* Not 0 once the user asked to stop. */
    int (*cancelled)(void *ctx);

    int (*verbosity)(void *ctx); /* -1 quiet, 0 normal, 1 to 4 for each -v */
    int (*beta)(void *ctx);      /* not 0 if the user allows beta features */
    const char *(*cdist_exe)(void *ctx);
    const char *(*conf)(void *ctx, const char *key);         /* a setting of cdist's configuration */
    /* The directory beside the plugin whose name is that of the PreOS in lower case. */
    const char *(*data_dir)(void *ctx, const char *preos);

    /* Each takes a record: a line "KIND VERSION", then lines "KEY VALUE"; in a VALUE, \\ stands for a backslash, \n for a
     * line end and \r for a carriage return. Returns 0 and sets *answer to a record of the kind `report`; or the exit
     * status that is fit for this error, and sets it to the message, fit for fail(). That is 2 for wrong usage, 130 when
     * the user has cancelled, 1 for the rest, also when a command has ended with another status. `answer` may be NULL;
     * *answer is not NULL afterwards. A key that cdist does not know is refused, unless it begins with `?`; keys of an answer
     * that the plugin does not know are to be passed over. The keys stand in the documentation of cdist-plugin-api:
     * CommandRequest, Recipe, ConfigureRequest, Report. */
    int (*run)(void *ctx, const char *command, const char **answer);
    int (*build)(void *ctx, const char *recipe, const char **answer);
    int (*configure)(void *ctx, const char *root, const char *request, const char **answer);

    /* An ability that 1.0 did not know. */
    const void *(*get_extension)(void *ctx, const char *id);
} cdist_preos_host;

/* `argv` holds what follows `cdist preos NAME`, `argc` strings and then NULL. The value is the exit status, 0 to 255;
 * with fail() it is that of an error, 2 for wrong usage, 1 for the rest (0 becomes 1). No C++ exception may leave it. */
typedef int cdist_preos_commandline(int argc, const char *const *argv, const cdist_preos_host *host);

typedef struct cdist_preos_entry {
    const char *name; /* 1 to 64 of A-Z a-z 0-9 . _ + -, the first one a letter or digit */
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

#if !defined(__VERSION__)
#define CDIST_PREOS_COMPILER "cc"
#elif defined(__clang__)
#define CDIST_PREOS_COMPILER __VERSION__
#else
#define CDIST_PREOS_COMPILER "gcc " __VERSION__
#endif

/* Defines both symbols from a list of X(name, commandline, summary), once in a library. Name and summary are literals
 * without control characters; the summary is one line that says what it makes. */
#define CDIST_EXPORT_PREOSES(LIST)                                                                                     \
    const char _cdist_preos[] =                                                                                        \
        "cdist-preos 1.0\nbuilt-with " CDIST_PREOS_COMPILER "\n" LIST(CDIST_PREOS_LINE_);                              \
    const cdist_preos_entry _cdist_preos_c1[] = {LIST(CDIST_PREOS_ENTRY_){0, 0}};
#define CDIST_PREOS_LINE_(name, commandline, summary) "preos " name "\t" name "\t" summary "\n"
#define CDIST_PREOS_ENTRY_(name, commandline, summary) {name, commandline},

#endif
