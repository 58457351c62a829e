/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A test of the plugin without cdist: a host of its own, which writes down what it is asked for.
 */
#include <stdio.h>
#include <string.h>

#include "cdist_preos.h"

static char calls[1024];
static int stop;

static void note(const char *what, const char *text)
{
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof calls - used, "%s(%s) ", what, text);
}

static void fake_log(void *ctx, int level, const char *message) { (void)ctx, (void)level, note("log", message); }
static void fake_fail(void *ctx, const char *message) { (void)ctx, note("fail", message); }
static uint64_t fake_begin(void *ctx, const char *name) { return (void)ctx, note("begin", name), 7; }
static void fake_progress(void *ctx, uint64_t step, uint64_t done, uint64_t total, const char *what)
{
    (void)ctx, (void)step, (void)done, (void)total, note("progress", what);
}
static void fake_end(void *ctx, uint64_t step, int ok, const char *outcome)
{
    (void)ctx, (void)outcome, note("end", step == 7 && ok ? "ok" : "not ok");
}
static int fake_cancelled(void *ctx) { return (void)ctx, stop; }
static const char *fake_data_dir(void *ctx, const char *preos) { return (void)ctx, note("data", preos), "/data"; }
static int fake_run(void *ctx, const char *command, const char **answer)
{
    int known = strcmp(command, "command 1\narg uname\narg -m\n") == 0;
    (void)ctx;
    *answer = known ? "report 1\nstdout riscv64\\n\n" : "which command?";
    return known ? 0 : 1;
}

static int failed;

static void check(int argc, const char *const *argv, int status, const char *expected)
{
    cdist_preos_host host;
    int got;
    /* What the plugin does not call stays NULL, and a call of it ends the test. */
    memset(&host, 0, sizeof host);
    host.size = sizeof host;
    host.log = fake_log;
    host.fail = fake_fail;
    host.step_begin = fake_begin;
    host.step_progress = fake_progress;
    host.step_end = fake_end;
    host.cancelled = fake_cancelled;
    host.data_dir = fake_data_dir;
    host.run = fake_run;

    calls[0] = '\0';
    got = _cdist_preos_c1[0].commandline(argc, argv, &host);
    if (got != status || strcmp(calls, expected) != 0) {
        fprintf(stderr, "status %d, calls %s\nexpected %d, %s\n", got, calls, status, expected);
        failed = 1;
    }
}

int main(void)
{
    const char *const names[] = {"Ada", "Grace", NULL};
    check(2, names, 0,
          "begin(greeting) progress(Ada) progress(Grace) end(ok) data(hello) log(everybody is greeted) ");
    check(0, names + 2, 2, "fail(usage: cdist preos hello NAME...) ");
    stop = 1;
    check(2, names, 130, "begin(greeting) end(not ok) fail(cancelled) ");
    return failed;
}
