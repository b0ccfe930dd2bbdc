/* As much HTTP/2 as unary gRPC calls need: header blocks of static-table and literal fields, no dynamic table, the server's flow-control
 * windows. Header blocks that come in are not decoded at all: a call succeeded if and only if a whole message came before the end of the
 * stream. */
#include "load.h"
#include <stdio.h>
#include <string.h>

enum { F_DATA = 0, F_HEADERS = 1, F_RST = 3, F_SETTINGS = 4, F_PING = 6, F_GOAWAY = 7, F_WINDOW = 8 };
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };

static void frame(Buffer *out, uint32_t length, uint8_t type, uint8_t flags, uint32_t stream) {
    uint8_t head[9] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags,
                       (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    put(out, head, 9);
}

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void h2_window(Buffer *out, uint32_t by) {
    uint8_t bytes[4] = {(uint8_t)(by >> 24), (uint8_t)(by >> 16), (uint8_t)(by >> 8), (uint8_t)by};
    frame(out, 4, F_WINDOW, 0, 0);
    put(out, bytes, 4);
}

void h2_open(Connection *c) {
    /* no dynamic table (1), no push (2), streams of up to 2 GiB without window updates (4) */
    static const uint8_t settings[] = {0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff};
    put(&c->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(&c->out, sizeof settings, F_SETTINGS, 0, 0);
    put(&c->out, settings, sizeof settings);
    h2_window(&c->out, 0x7fffffff - 65535);
    c->window = c->first_window = 65535;
    c->frame_limit = 16384;
    c->stream = 0;
}

static void literal(Buffer *b, const char *text) {
    uint8_t length = (uint8_t)strlen(text);  /* below 127, checked in main */
    put(b, &length, 1);
    put(b, text, length);
}

/* Sends as much of the body as the windows let through. */
static void h2_data(Connection *c) {
    while (c->body.length && c->window > 0 && c->stream_window > 0) {
        int64_t part = c->body.length;
        if (part > c->frame_limit) part = c->frame_limit;
        if (part > c->window) part = c->window;
        if (part > c->stream_window) part = c->stream_window;
        frame(&c->out, (uint32_t)part, F_DATA, part == c->body.length ? FLAG_END_STREAM : 0, c->stream);
        put(&c->out, c->body.at, (size_t)part);
        c->body.at += part;
        c->body.length -= (uint32_t)part;
        c->window -= part;
        c->stream_window -= part;
    }
}

void h2_request(Connection *c) {
    static Buffer head;
    char authority[100];
    head.length = 0;
    snprintf(authority, sizeof authority, "%s:%d", load.host, load.port);
    put(&head, "\x83\x86\x04", 3);  /* :method POST, :scheme http, :path */
    literal(&head, load.path);
    put(&head, "\x01", 1);          /* :authority */
    literal(&head, authority);
    put(&head, "\x0f\x10", 2);      /* content-type */
    literal(&head, "application/grpc");
    put(&head, "\x00", 1);
    literal(&head, "te");
    literal(&head, "trailers");
    c->stream = c->stream ? c->stream + 2 : 1;
    c->stream_window = c->first_window;
    c->message.length = 0;
    frame(&c->out, (uint32_t)head.length, F_HEADERS, FLAG_END_HEADERS, c->stream);
    put(&c->out, head.at, head.length);
    h2_data(c);
}

static void h2_settings(Connection *c, const uint8_t *p, uint32_t length) {
    for (uint32_t i = 0; i + 6 <= length; i += 6) {
        uint32_t value = be32(p + i + 2);
        if (p[i + 1] == 4) {
            c->stream_window += (int64_t)value - c->first_window;
            c->first_window = value;
        } else if (p[i + 1] == 5) {
            c->frame_limit = value;
        }
    }
    frame(&c->out, 0, F_SETTINGS, FLAG_ACK, 0);
}

static void h2_end(Connection *c) {
    Buffer *m = &c->message;
    int whole = m->length >= 5 && m->length == 5 + (size_t)be32(m->at + 1);
    if (whole) count_protobuf(m->at + 5, m->at + m->length);
    finish(c, whole ? 200 : 0);
    c->body.length = 0;
}

static void h2_frame(Connection *c, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *p, uint32_t length) {
    int ours = c->busy && stream == c->stream;
    if (type == F_DATA) {
        uint32_t padding = flags & FLAG_PADDED ? p[0] + 1u : 0;
        if (ours) put(&c->message, p + (padding ? 1 : 0), length - padding);
        if ((c->unacknowledged += length) > 1u << 30) {
            h2_window(&c->out, (uint32_t)c->unacknowledged);
            c->unacknowledged = 0;
        }
    } else if (type == F_SETTINGS && !(flags & FLAG_ACK)) {
        h2_settings(c, p, length);
    } else if (type == F_WINDOW) {
        if (stream == 0) c->window += be32(p);
        else if (ours) c->stream_window += be32(p);
    } else if (type == F_PING && !(flags & FLAG_ACK)) {
        frame(&c->out, 8, F_PING, FLAG_ACK, 0);
        put(&c->out, p, 8);
    } else if (type == F_GOAWAY) {
        c->must_close = 1;
    } else if (type == F_RST && ours) {
        c->message.length = 0;
        h2_end(c);
    }
    if ((type == F_DATA || type == F_HEADERS) && flags & FLAG_END_STREAM && ours) h2_end(c);
}

void h2_read(Connection *c) {
    while (c->in.length - c->parsed >= 9) {
        const uint8_t *p = c->in.at + c->parsed;
        uint32_t length = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        if (c->in.length - c->parsed < 9 + (size_t)length) break;
        h2_frame(c, p[3], p[4], be32(p + 5) & 0x7fffffff, p + 9, length);
        c->parsed += 9 + (size_t)length;
    }
    memmove(c->in.at, c->in.at + c->parsed, c->in.length - c->parsed);
    c->in.length -= c->parsed;
    c->parsed = 0;
    h2_data(c);
}
