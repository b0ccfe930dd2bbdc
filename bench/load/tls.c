/* TLS by OpenSSL 3, which is looked for when a run asks for it: nothing else of this program needs it, and no header of it is needed. */
#include "load.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the library's headers call them. */
enum { VERIFY_PEER = 1, CTRL_MODE = 33, MODE_PARTIAL_WRITE = 1, MODE_MOVING_BUFFER = 2, ERROR_WANT_READ = 2, ERROR_WANT_WRITE = 3 };

static void *context;
static struct {
    const void *(*method)(void);
    void *(*new_context)(const void *);
    long (*control)(void *, int, long, void *);
    int (*believe)(void *, const char *, const char *);
    void (*verify)(void *, int, void *);
    int (*protocols)(void *, const uint8_t *, unsigned);
    void *(*new_session)(void *);
    void (*free_session)(void *);
    int (*use)(void *, int);
    int (*connect)(void *);
    int (*read)(void *, void *, int);
    int (*write)(void *, const void *, int);
    int (*error)(const void *, int);
} ssl;

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "load: libssl.so.3 has no %s\n", name);
        exit(1);
    }
    return found;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

void tls_prepare(void) {
    static const uint8_t h1[] = "\x08http/1.1", h2[] = "\x02h2";
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    if (!library) fail("TLS needs OpenSSL 3, libssl.so.3; on Debian and Ubuntu: apt-get install libssl3");
    *(void **)&ssl.method = find(library, "TLS_client_method");
    *(void **)&ssl.new_context = find(library, "SSL_CTX_new");
    *(void **)&ssl.control = find(library, "SSL_CTX_ctrl");
    *(void **)&ssl.believe = find(library, "SSL_CTX_load_verify_locations");
    *(void **)&ssl.verify = find(library, "SSL_CTX_set_verify");
    *(void **)&ssl.protocols = find(library, "SSL_CTX_set_alpn_protos");
    *(void **)&ssl.new_session = find(library, "SSL_new");
    *(void **)&ssl.free_session = find(library, "SSL_free");
    *(void **)&ssl.use = find(library, "SSL_set_fd");
    *(void **)&ssl.connect = find(library, "SSL_connect");
    *(void **)&ssl.read = find(library, "SSL_read");
    *(void **)&ssl.write = find(library, "SSL_write");
    *(void **)&ssl.error = find(library, "SSL_get_error");
    if (!(context = ssl.new_context(ssl.method()))) fail("TLS cannot be used");
    if (ssl.believe(context, load.authority, NULL) != 1) fail("AUTHORITY is no certificate");
    ssl.verify(context, VERIFY_PEER, NULL);
    ssl.control(context, CTRL_MODE, MODE_PARTIAL_WRITE | MODE_MOVING_BUFFER, NULL);
    ssl.protocols(context, load.grpc ? h2 : h1, load.grpc ? sizeof h2 - 1 : sizeof h1 - 1);
}

void tls_open(Connection *c) {
    if (!(c->tls = ssl.new_session(context)) || ssl.use(c->tls, c->fd) != 1) fail("TLS cannot be used");
    if (ssl.connect(c->tls) != 1) fail("TLS handshake: the server is not who AUTHORITY says, or speaks no TLS");
}

void tls_close(Connection *c) {
    if (c->tls) ssl.free_session(c->tls);
    c->tls = NULL;
}

/* As the system calls have it: -1 and EAGAIN when there is nothing to do yet, 0 at the end. */
static ssize_t outcome(Connection *c, int n) {
    if (n > 0) return n;
    int error = ssl.error(c->tls, n);
    errno = error == ERROR_WANT_READ || error == ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

ssize_t tls_send(Connection *c, const void *bytes, size_t length) {
    return outcome(c, ssl.write(c->tls, bytes, length > 1 << 20 ? 1 << 20 : (int)length));
}

ssize_t tls_receive(Connection *c, void *bytes, size_t length) { return outcome(c, ssl.read(c->tls, bytes, (int)length)); }
