/* The PreOS {{name}}: busybox, and a script that starts it. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdist_preos.h"

static const char USAGE[] =
    "usage: cdist preos {{name}} [-h] [-p PXE_DIR] TARGET_DIR\n"
    "\n"
    "Makes the PreOS {{name}} in TARGET_DIR, which is made, or must be empty.\n"
    "\n"
    "options:\n"
    "  -h, --help   show this text\n"
    "  -p PXE_DIR   also write a directory from which machines boot over the network\n";

/* For `sh -e`: $1 is the directory to fill, $2 is not empty if a machine shall boot from it. busybox is of the package
 * busybox-static; for booting, the kernel is that of this machine, and the boot loader of pxelinux and syslinux-common. */
static const char BOOTSTRAP[] =
    "root=$1\n"
    "mkdir -p \"$root/bin\" \"$root/dev\" \"$root/etc\" \"$root/proc\" \"$root/sys\"\n"
    "cp /bin/busybox \"$root/bin/busybox\"\n"
    "echo '{{name}}' >\"$root/etc/hostname\"\n"
    "cat >\"$root/init\" <<'INIT'\n"
    "#!/bin/busybox sh\n"
    "/bin/busybox --install -s /bin\n"
    "mount -t proc proc /proc\n"
    "mount -t sysfs sysfs /sys\n"
    "mount -t devtmpfs devtmpfs /dev\n"
    "exec >/dev/console 2>&1 </dev/console\n"
    "echo 'This is {{name}}.'\n"
    "exec sh\n"
    "INIT\n"
    "chmod 0755 \"$root/init\"\n"
    "if [ \"$2\" ]; then\n"
    "	kernel=$(uname -r)\n"
    "	cp --parents \"/boot/vmlinuz-$kernel\" \"/boot/config-$kernel\" /usr/lib/PXELINUX/pxelinux.0 \\\n"
    "		/usr/lib/syslinux/modules/bios/ldlinux.c32 \"$root\"\n"
    "fi\n";

/* Says what is wrong with the command line; the value is the exit status for that. */
static int usage_error(const cdist_preos_host *host, const char *what, const char *which) {
    char *message = NULL;
    size_t size;
    FILE *text = open_memstream(&message, &size);

    if (text) {
        fprintf(text, "%s%s; `cdist preos {{name}} -h` shows the usage", what, which);
        fclose(text);
    }
    host->fail(host->ctx, message ? message : what);
    free(message);
    return 2;
}

/* Writes a value of a record: what ends its line, and the backslash, are escaped. */
static void escape(FILE *record, const char *value) {
    for (; *value; value++) {
        switch (*value) {
        case '\\': fputs("\\\\", record); break;
        case '\n': fputs("\\n", record); break;
        case '\r': fputs("\\r", record); break;
        default: fputc(*value, record);
        }
    }
}

/* Appends a line to a record. */
static void put(FILE *record, const char *key, const char *value) {
    fprintf(record, "%s ", key);
    escape(record, value);
    fputc('\n', record);
}

/* The same with a path, which is made absolute. */
static void put_path(FILE *record, const char *key, const char *directory, const char *path) {
    fprintf(record, "%s ", key);
    if (*path != '/') {
        escape(record, directory);
        fputc('/', record);
    }
    escape(record, path);
    fputc('\n', record);
}

/* The recipe, to be freed; NULL without memory. */
static char *make_recipe(const char *directory, const char *target, const char *pxe_dir) {
    const char *command[] = {"/bin/sh", "-e", "-c", BOOTSTRAP, "sh", "@ROOT@", pxe_dir ? "boot" : ""};
    char *text = NULL;
    size_t size, i;
    FILE *record = open_memstream(&text, &size);

    if (!record) {
        return NULL;
    }
    fputs("recipe 1\nname {{name}}\nbootstrap yes\n", record);
    put_path(record, "target", directory, target);
    for (i = 0; i < sizeof command / sizeof *command; i++) {
        put(record, "bootstrap.command", command[i]);
    }
    if (pxe_dir) {
        put_path(record, "pxe.dir", directory, pxe_dir);
    }
    if (fclose(record) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int build(const char *target, const char *pxe_dir, const cdist_preos_host *host) {
    const char *answer = "there is no working directory, or no memory";
    char *directory = getcwd(NULL, 0);
    char *recipe = directory ? make_recipe(directory, target, pxe_dir) : NULL;
    int status = recipe ? host->build(host->ctx, recipe, &answer) : 1;

    if (status != 0) {
        host->fail(host->ctx, answer);
    }
    free(recipe);
    free(directory);
    return status;
}

static int commandline(int argc, const char *const *argv, const cdist_preos_host *host) {
    const char *target = NULL, *pxe_dir = NULL;
    int i;

    for (i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(USAGE, stdout);
            return fflush(stdout) == 0 ? 0 : 1;
        } else if (strcmp(argv[i], "-p") == 0) {
            if (!argv[i + 1]) {
                return usage_error(host, "-p needs a directory", "");
            }
            pxe_dir = argv[++i];
        } else if (*argv[i] == '-') {
            return usage_error(host, "unknown option ", argv[i]);
        } else if (target) {
            return usage_error(host, "too much: ", argv[i]);
        } else {
            target = argv[i];
        }
    }
    if (!target) {
        return usage_error(host, "TARGET_DIR is missing", "");
    }
    return build(target, pxe_dir, host);
}

#define PREOSES(X) X("{{name}}", commandline, "{{name}}, a minimal OS to boot over the network")
CDIST_EXPORT_PREOSES(PREOSES)
