/* Certificates for tests, made by openssl(1) in a folder. Fails the test when it cannot. Main
 * thread only. */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

/* For 127.0.0.1 and localhost, as servers and clients show it. */
#define CERTIFICATE_LOCAL "IP:127.0.0.1,DNS:localhost"

/* NAME.crt and NAME.key of an authority of its own. */
void certificates_make_authority(const char *folder, const char *name);
/* NAME.crt and NAME.key, for `hosts` ("IP:127.0.0.1,DNS:localhost"), signed by that authority;
 * valid for so many days from now on: negative, it has expired. Over older files if there are. */
void certificates_issue(const char *folder, const char *name, const char *authority,
                        const char *hosts, int days);
/* As certificates_issue, for CERTIFICATE_LOCAL, with a subject that has no CommonName. */
void certificates_issue_nameless(const char *folder, const char *name, const char *authority);
/* The usual: ca.crt; node.crt and node.key for CERTIFICATE_LOCAL. */
void certificates_make(const char *folder);

#endif
