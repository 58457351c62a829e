/* Run it with `make test`: the plugin with a host that does nothing and remembers what it was asked for. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdist_preos.h"

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* What the plugin did, and what the host answers to a build. */
struct fake {
    char *recipe, *message;
    int status;
};

static void fake_fail(void *ctx, const char *message) {
    struct fake *fake = ctx;

    free(fake->message);
    fake->message = strdup(message);
}

static int fake_build(void *ctx, const char *recipe, const char **answer) {
    struct fake *fake = ctx;

    fake->recipe = strdup(recipe);
    *answer = fake->status == 0 ? "report 1\n" : "the disk is full";
    return fake->status;
}

/* Runs the plugin; the arguments end with NULL. */
static int run(struct fake *fake, const char *const *argv) {
    cdist_preos_host host = {.size = sizeof host, .ctx = fake, .fail = fake_fail, .build = fake_build};
    int argc = 0;

    while (argv[argc]) {
        argc++;
    }
    return _cdist_preos_c1[0].commandline(argc, argv, &host);
}

static int has(const struct fake *fake, const char *line) {
    return fake->recipe && strstr(fake->recipe, line);
}

static void forget(struct fake *fake) {
    free(fake->recipe);
    free(fake->message);
}

static void asks_for_a_build(void) {
    struct fake fake = {0};

    CHECK(run(&fake, (const char *const[]){"/root", "-p", "/p\\xe", NULL}) == 0);
    CHECK(has(&fake, "\ntarget /root\n"));
    CHECK(has(&fake, "\npxe.dir /p\\\\xe\n"));
    CHECK(has(&fake, "\nbootstrap.command boot\n"));
    CHECK(!fake.message);
    forget(&fake);
}

static void wrong_usage_asks_for_nothing(void) {
    const char *const wrong[][3] = {{NULL}, {"-x", "/root", NULL}, {"/root", "-p", NULL}, {"/root", "/more", NULL}};
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct fake fake = {0};

        CHECK(run(&fake, wrong[i]) == 2);
        CHECK(!fake.recipe && fake.message);
        forget(&fake);
    }
}

static void a_failed_build_is_a_failure(void) {
    struct fake fake = {.status = 1};

    CHECK(run(&fake, (const char *const[]){"/root", NULL}) == 1);
    CHECK(fake.message && strcmp(fake.message, "the disk is full") == 0);
    forget(&fake);
}

int main(void) {
    asks_for_a_build();
    wrong_usage_asks_for_nothing();
    a_failed_build_is_a_failure();
    puts("3 tests passed");
    return 0;
}
