/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A PreOS in C that greets, and shows on the way what cdist does for a plugin.
 */
#include <stdio.h>
#include <string.h>

#include "cdist_preos.h"

/* Copies the value of the first line "KEY VALUE" of a record to `value`, cut off after size - 1 bytes. */
static void value_of(const char *record, const char *key, char *value, size_t size)
{
    size_t length = strlen(key), used = 0;
    const char *line = record;
    while ((line = strchr(line, '\n')) != NULL) {
        line++;
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            const char *from;
            for (from = line + length + 1; *from != '\0' && *from != '\n' && used + 1 < size; from++) {
                char c = *from;
                if (c == '\\' && from[1] != '\0') {
                    c = *++from;
                    c = c == 'n' ? '\n' : c == 'r' ? '\r' : c;
                }
                value[used++] = c;
            }
            break;
        }
    }
    value[used] = '\0';
}

#define USAGE "usage: cdist preos hello NAME..."

static int hello(int argc, const char *const *argv, const cdist_preos_host *host)
{
    void *ctx = host->ctx;
    const char *answer, *data;
    char machine[64];
    uint64_t step;
    int i, status;

    if (argc == 0) {
        host->fail(ctx, USAGE);
        return 2;
    }
    if (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "--help") == 0) {
        puts(USAGE);
        return 0;
    }

    step = host->step_begin(ctx, "greeting");
    for (i = 0; i < argc; i++) {
        if (host->cancelled(ctx)) {
            host->step_end(ctx, step, 0, NULL);
            host->fail(ctx, "cancelled");
            return 130;
        }
        host->step_progress(ctx, step, (uint64_t)i, (uint64_t)argc, argv[i]);
        printf("Hello, %s\n", argv[i]);
    }
    host->step_end(ctx, step, 1, NULL);

    /* The answer is a report, or the message of the error. */
    status = host->run(ctx, "command 1\narg uname\narg -m\n", &answer);
    if (status != 0) {
        host->fail(ctx, answer);
        return status;
    }
    value_of(answer, "stdout", machine, sizeof machine);
    printf("from a machine of the kind %s", machine);

    data = host->data_dir(ctx, "hello");
    printf("with data from %s\n", data != NULL ? data : "nowhere");
    host->log(ctx, CDIST_INFO, "everybody is greeted");
    return 0;
}

#define PREOSES(X) X("hello", hello, "Greets everybody who is named")
CDIST_EXPORT_PREOSES(PREOSES)
