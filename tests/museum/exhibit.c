/* What exhibit/src/lib.rs does, in C. It does not change either. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdist_preos.h"

static const char *word(int value) {
    return value ? "true" : "false";
}

static void refused(const char *what, int status, const char *message) {
    printf("%s: %s\n", what, word(status != 0 && message && *message));
}

static int ask(const cdist_preos_host *host) {
    static const int levels[] = {CDIST_DEBUG, CDIST_VERBOSE, CDIST_INFO, CDIST_WARNING, CDIST_ERROR};
    void *ctx = host->ctx;
    const char *answer = NULL, *program = host->cdist_exe(ctx), *stdout_of_run;
    char line[64];
    uint64_t step;
    size_t i;
    int status;

    if (host->size < sizeof *host) return 99;
    for (i = 0; i < sizeof levels / sizeof *levels; i++) {
        snprintf(line, sizeof line, "level %d", levels[i]);
        host->log(ctx, levels[i], line);
    }
    step = host->step_begin(ctx, "asking");
    host->step_progress(ctx, step, 1, 2, "half");
    host->step_progress(ctx, step, 2, 0, "whole");
    host->step_end(ctx, step, 1, "both");

    printf("cancelled: %s\n", word(host->cancelled(ctx)));
    printf("conf: %s\n", host->conf(ctx, "no-such-setting") ? "Some" : "None");
    printf("data_dir: %s\n", word(host->data_dir(ctx, "Exhibit") != NULL));
    printf("no data_dir: %s\n", host->data_dir(ctx, "Other") ? "Some" : "None");
    printf("cdist_exe: %s\n", word(strlen(program) > 6 && !strcmp(program + strlen(program) - 6, "/cdist")));
    printf("verbosity: %d\n", host->verbosity(ctx));
    printf("beta: %s\n", word(host->beta(ctx)));
    printf("extension: %s\n", word(host->get_extension(ctx, "museum/none") != NULL));

    status = host->run(ctx,
                       "command 1\narg /bin/sh\narg -c\narg pwd; printf '%s\\\\n' \"$WORD\"; cat\nenv WORD=a\\\\b\ncwd /\n"
                       "stdin read\\r\\nin\n",
                       &answer);
    if (status) {
        host->fail(ctx, answer);
        return status;
    }
    /* The record escapes what Rust's {:?} does, but for the quotes around it, which are not in this text. */
    stdout_of_run = strstr(answer, "\nstdout ");
    stdout_of_run = stdout_of_run ? stdout_of_run + strlen("\nstdout ") : "";
    printf("run: \"%.*s\"\n", (int)strcspn(stdout_of_run, "\n"), stdout_of_run);
    status = host->run(ctx, "command 1\narg /bin/sh\narg -c\narg exit 3\n", NULL);
    printf("failed run: %s\n", word(status != 0));
    answer = NULL;
    status = host->build(ctx, "recipe 1\nname exhibit\ntarget /proc/none/target\nbootstrap yes\nkey-of-nobody x\n", &answer);
    refused("refused key", status, answer);
    answer = NULL;
    status = host->build(ctx,
                         "recipe 1\nname exhibit\ntarget /proc/none/target\nbootstrap yes\nbootstrap.command /bin/false\n"
                         "bootstrap.command @ROOT@\n",
                         &answer);
    refused("failed build", status, answer);
    answer = NULL;
    status = host->configure(ctx, "/proc/none", "configure 1\nmanifest exit 0\\n\nconf-dir /proc/none\n", &answer);
    refused("failed configure", status, answer);
    return 0;
}

static int exhibit(int argc, const char *const *argv, const cdist_preos_host *host) {
    int i;

    if (argc > 0 && !strcmp(argv[0], "host")) return ask(host);
    if (argc > 1 && !strcmp(argv[0], "status")) return atoi(argv[1]);
    if (argc > 0 && !strcmp(argv[0], "fail")) {
        host->fail(host->ctx, "it fails: \xc3\xa9");
        return 9;
    }
    printf("arguments: ");
    for (i = 0; i < argc; i++) printf("%s%s", i ? "|" : "", argv[i]);
    printf("\n");
    return argv[argc] == NULL ? 0 : 98;
}

static int other(int argc, const char *const *argv, const cdist_preos_host *host) {
    (void)argc, (void)argv, (void)host;
    puts("the other one");
    return 0;
}

#define PREOSES(X) X("exhibit", exhibit, "what plugin API 1.0 has; \xc3\xa9") X("exhibit-2", other, "")
CDIST_EXPORT_PREOSES(PREOSES)
