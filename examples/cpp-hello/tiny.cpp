// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A PreOS in C++ that has a recipe built: a root directory filled by a shell script, and nothing more.
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "cdist_preos.h"

namespace {

// The text of a recipe, a command or a request.
class Record {
public:
    explicit Record(std::string_view kind) : text_{std::string{kind} + " 1\n"} {}

    Record &add(std::string_view key, std::string_view value)
    {
        text_.append(key) += ' ';
        for (char c : value) {
            switch (c) {
            case '\\': text_ += "\\\\"; break;
            case '\n': text_ += "\\n"; break;
            case '\r': text_ += "\\r"; break;
            default: text_ += c;
            }
        }
        text_ += '\n';
        return *this;
    }

    const char *text() const { return text_.c_str(); }

private:
    std::string text_;
};

int tiny(int argc, const char *const *argv, const cdist_preos_host &host)
{
    const char *const usage = "usage: cdist preos tiny [-n] TARGET_DIR";
    const std::string_view first = argc > 0 ? argv[0] : "";
    if (first == "-h" || first == "--help") {
        std::cout << usage << '\n';
        return 0;
    }
    const bool show = first == "-n";
    if (argc != (show ? 2 : 1)) {
        host.fail(host.ctx, usage);
        return 2;
    }
    Record recipe{"recipe"};
    recipe.add("name", "tiny").add("target", argv[argc - 1]).add("bootstrap", "yes");
    for (const char *word : {"/bin/sh", "-ec", "mkdir \"$1/etc\"\nprintf 'tiny\\n' >\"$1/etc/issue\"\n", "sh", "@ROOT@"})
        recipe.add("bootstrap.command", word);
    if (show) {
        std::cout << recipe.text();
        return 0;
    }
    const char *answer = nullptr;
    const int status = host.build(host.ctx, recipe.text(), &answer);
    if (status != 0)
        host.fail(host.ctx, answer);
    return status;
}

// No exception may leave the function that cdist calls.
int commandline(int argc, const char *const *argv, const cdist_preos_host *host)
try {
    return tiny(argc, argv, *host);
} catch (const std::exception &error) {
    host->fail(host->ctx, error.what());
    return 1;
} catch (...) {
    host->fail(host->ctx, "an unknown exception");
    return 1;
}

} // namespace

#define PREOSES(X) X("tiny", commandline, "A root directory with one file")
CDIST_EXPORT_PREOSES(PREOSES)
