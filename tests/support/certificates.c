#include "tests/support/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/process.h"

#define OPENSSL_MS 60000
#define NEW_KEY    "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

/* Consumes the script. */
static void run(char *script)
{
    const char *argv[] = {"sh", "-e", "-c", script, NULL};
    struct output output = process_run(argv, NULL, OPENSSL_MS);
    if (output.code != 0) {
        fail_msg("%s: %s", script, output.err);
    }
    output_free(&output);
    mem_free(script);
}

void certificates_make_authority(const char *folder, const char *name)
{
    run(mem_printf("cd '%s'; openssl req -x509 " NEW_KEY " -keyout %s.key -out %s.crt -days 2 "
                   "-subj /CN=test-%s",
                   folder, name, name, name));
}

static void issue(const char *folder, const char *name, const char *subject, const char *authority,
                  const char *hosts, int days)
{
    run(mem_printf("cd '%s'; printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n'"
                   " > extensions; openssl req " NEW_KEY " -keyout %s.key -out request -subj "
                   "'%s'; openssl x509 -req -in request -CA %s.crt -CAkey %s.key -CAcreateserial "
                   "-days %d -extfile extensions -out %s.crt",
                   folder, hosts, name, subject, authority, authority, days, name));
}

void certificates_issue(const char *folder, const char *name, const char *authority,
                        const char *hosts, int days)
{
    char *subject = mem_printf("/CN=%s", name);
    issue(folder, name, subject, authority, hosts, days);
    mem_free(subject);
}

void certificates_issue_nameless(const char *folder, const char *name, const char *authority)
{
    issue(folder, name, "/O=test", authority, CERTIFICATE_LOCAL, 2);
}

void certificates_make(const char *folder)
{
    certificates_make_authority(folder, "ca");
    certificates_issue(folder, "node", "ca", CERTIFICATE_LOCAL, 2);
}
