/* HTTP/1.1: one POST after the other, answers with a length or in chunks. */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void h1_request(Connection *c) {
    char head[512];
    int length = snprintf(head, sizeof head,
        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%s%s%sContent-Length: %u\r\n\r\n",
        load.path, load.host, load.port, load.key ? "X-Api-Key: " : "", load.key ? load.key : "", load.key ? "\r\n" : "", c->body.length);
    put(&c->out, head, (size_t)length);
    put(&c->out, c->body.at, c->body.length);
    c->body.length = 0;
}

static char *header(char *head, const char *name) {
    for (char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0) return line + strlen(name);
    }
    return NULL;
}

/* Returns 1 when a whole chunked body has been moved to `message`. */
static int h1_chunks(Connection *c) {
    for (;;) {
        uint8_t *at = c->in.at + c->parsed, *end = c->in.at + c->in.length;
        uint8_t *line = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (!line) return 0;
        size_t size = strtoul((char *)at, NULL, 16);
        if ((size_t)(end - line) < size + 4) return 0;
        put(&c->message, line + 2, size);
        c->parsed = (size_t)(line + 2 + size + 2 - c->in.at);
        if (size == 0) return 1;
    }
}

void h1_read(Connection *c) {
    if (!c->in_body) {
        uint8_t *end = memmem(c->in.at, c->in.length, "\r\n\r\n", 4);
        if (!end) return;
        end[2] = 0;  /* the header block is a string now */
        char *head = (char *)c->in.at, *value;
        c->status = atoi(head + 9);
        c->chunked = header(head, "transfer-encoding: chunked") != NULL;
        c->wanted = (value = header(head, "content-length:")) ? strtoul(value, NULL, 10) : 0;
        c->must_close = header(head, "connection: close") != NULL;
        c->parsed = (size_t)(end + 4 - c->in.at);
        c->in_body = 1;
        c->message.length = 0;
    }
    if (c->chunked) {
        if (!h1_chunks(c)) return;
    } else {
        if (c->in.length - c->parsed < c->wanted) return;
        put(&c->message, c->in.at + c->parsed, c->wanted);
    }
    count_json(&c->message);
    c->in.length = c->parsed = 0;
    c->in_body = 0;
    finish(c, c->status);
}
