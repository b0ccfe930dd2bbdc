/* What the parts of the load client share. */
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct { uint8_t *at; size_t length, capacity; } Buffer;
typedef struct { const uint8_t *at; uint32_t length; } Body;

typedef struct {
    int fd, busy, broken, must_close;
    uint64_t began;
    Buffer out, in, message;
    size_t sent, parsed;
    Body body;                     /* what of the current request is not in `out` yet */
    int in_body, status, chunked;  /* HTTP/1.1 */
    size_t wanted;
    uint32_t stream;               /* HTTP/2 */
    int64_t window, stream_window, first_window;
    uint32_t frame_limit;
    uint64_t unacknowledged;
    void *tls;                     /* NULL: clear text */
} Connection;

typedef struct {
    int grpc, port;
    const char *host, *path, *key; /* key: NULL for none; JSON only */
    const char *authority;         /* the file with whom to believe over TLS; NULL: clear text */
    Body *bodies;
    size_t body_count, connection_count, requests;
} Load;

typedef struct {
    size_t started, finished, errors, accepted, duplicates, rejected, applied, statuses[600];
    double *latencies_us;
    uint64_t request_bytes, response_bytes;
} Result;

extern Load load;
extern Result result;

/* main.c */
void die(const char *what);                              /* says what failed and ends the program */
uint8_t *room(Buffer *b, size_t more);                   /* the end of the buffer, with space for `more` bytes */
void put(Buffer *b, const void *bytes, size_t length);
void finish(Connection *c, int status);                  /* the request in flight is answered */

/* answers.c: add the counts of an answer to the result */
void count_json(const Buffer *b);
void count_protobuf(const uint8_t *p, const uint8_t *end);

/* http1.c */
void h1_request(Connection *c);                          /* puts the request with `c->body` into `c->out` */
void h1_read(Connection *c);                             /* looks at what has come in */

/* http2.c */
void h2_open(Connection *c);
void h2_request(Connection *c);
void h2_read(Connection *c);

/* tls.c: in the place of connect's end, close, send and recv */
void tls_prepare(void);
void tls_open(Connection *c);
void tls_close(Connection *c);
ssize_t tls_send(Connection *c, const void *bytes, size_t length);
ssize_t tls_receive(Connection *c, void *bytes, size_t length);

#endif
