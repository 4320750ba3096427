#include "lib/net/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/base/assert.h"

void secret_hash(struct slice secret, char *hash)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int is_done = EVP_Digest(secret.data, secret.len, digest, &length, EVP_sha256(), NULL);
    ASSERT(is_done == 1 && length * 2 == SECRET_HASH_LENGTH);
    for (unsigned i = 0; i < length; i++) {
        hash[2 * i] = digits[digest[i] >> 4];
        hash[2 * i + 1] = digits[digest[i] & 15];
    }
}

bool secret_equal(struct slice a, struct slice b)
{
    return a.len == b.len && CRYPTO_memcmp(a.data, b.data, a.len) == 0;
}
