/* A closed-loop load client for DMP: JSON over HTTP/1.1 and gRPC over HTTP/2, every request with a body of its own.
 *
 *     load json|grpc HOST PORT PATH BODIES CONNECTIONS REQUESTS [KEY [AUTHORITY]]
 *
 * BODIES is a file of records, each a 32-bit little-endian length and that many bytes. Request number i carries body i modulo their
 * number. Each connection has one request in flight and sends the next as soon as the answer is complete; REQUESTS are sent in all, by
 * whichever connection is free. Connections are open before the clock starts. KEY is an API key, empty for none; with AUTHORITY, a file of
 * certificates, it speaks TLS to a server that one of them has signed.
 *
 * It reads every answer: the counts of the contract (`accepted`, `duplicates`, `rejected`, and whether `applied`) are added up, so that
 * a rate never contains an event that was refused. One JSON object on standard output: counts, HTTP status codes (for gRPC 200 means
 * that an answer message came, 0 that none did), seconds from first byte to last answer, exact percentiles of the latency in
 * microseconds, and the client's own CPU seconds.
 *
 * Closed loop means coordinated omission: a stall delays the requests that would have met it, so the latencies are those of this many
 * patient callers, not of an open stream of them.
 */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STALL_MS = 90000, READ_CHUNK = 1 << 16 };

Load load;
Result result;
static int poller;

void die(const char *what) { fprintf(stderr, "load: %s: %s\n", what, strerror(errno)); exit(1); }

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint8_t *room(Buffer *b, size_t more) {
    if (b->length + more > b->capacity) {
        b->capacity = (b->length + more) * 2;
        if (!(b->at = realloc(b->at, b->capacity))) die("memory");
    }
    return b->at + b->length;
}

void put(Buffer *b, const void *bytes, size_t length) {
    if (length == 0) return;
    memcpy(room(b, length), bytes, length);
    b->length += length;
}

void finish(Connection *c, int status) {
    result.latencies_us[result.finished++] = (double)(now_ns() - c->began) / 1000.0;
    result.statuses[status >= 0 && status < 600 ? status : 0]++;
    c->busy = 0;
}

/* -- connections */

static void open_connection(Connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
    int one = 1;
    if (inet_pton(AF_INET, load.host, &address.sin_addr) != 1) die("HOST must be an IPv4 address");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (load.authority) tls_open(c);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->out.length = c->in.length = c->sent = c->parsed = 0;
    c->in_body = c->broken = c->must_close = 0;
    c->unacknowledged = 0;
    if (load.grpc) h2_open(c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll");
}

static void flush(Connection *c) {
    while (c->sent < c->out.length) {
        const uint8_t *at = c->out.at + c->sent;
        size_t left = c->out.length - c->sent;
        ssize_t n = c->tls ? tls_send(c, at, left) : send(c->fd, at, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            if (errno != EAGAIN) c->broken = 1;
            break;
        }
        c->sent += (size_t)n;
        result.request_bytes += (uint64_t)n;
    }
    if (c->sent == c->out.length) c->sent = c->out.length = 0;
    struct epoll_event event = {.events = EPOLLIN | (c->out.length ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void next_request(Connection *c) {
    if (c->busy || result.started == load.requests) return;
    c->body = load.bodies[result.started++ % load.body_count];
    c->busy = 1;
    c->began = now_ns();
    if (load.grpc) h2_request(c);
    else h1_request(c);
}

static void receive(Connection *c) {
    for (;;) {
        uint8_t *at = room(&c->in, READ_CHUNK);
        ssize_t n = c->tls ? tls_receive(c, at, READ_CHUNK - 1) : recv(c->fd, at, READ_CHUNK - 1, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            c->broken = n == 0 || errno != EAGAIN;
            return;
        }
        c->in.length += (size_t)n;
        c->in.at[c->in.length] = 0;
        result.response_bytes += (uint64_t)n;
        if (load.grpc) h2_read(c);
        else h1_read(c);
        if (!c->tls && n < READ_CHUNK - 1) return;  /* of TLS one record is read at a time */
    }
}

static void serve(Connection *c, uint32_t events) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    if (c->broken && c->busy) {
        result.errors++;
        finish(c, 0);
    }
    if (c->broken || (c->must_close && !c->busy)) {
        tls_close(c);
        close(c->fd);
        c->busy = 0;
        if (result.started == load.requests) return;
        open_connection(c);
    }
    next_request(c);
    flush(c);
}

/* -- the run */

static void read_bodies(const char *path) {
    struct stat info;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &info) < 0) die(path);
    const uint8_t *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) die(path);
    const uint8_t *end = at + info.st_size;
    size_t capacity = 0;
    while (at + 4 <= end) {
        uint32_t length;
        memcpy(&length, at, 4);
        if (at + 4 + length > end) die("BODIES is cut short");
        if (load.body_count == capacity) {
            capacity = capacity * 2 + 1024;
            if (!(load.bodies = realloc(load.bodies, capacity * sizeof *load.bodies))) die("memory");
        }
        load.bodies[load.body_count++] = (Body){at + 4, length};
        at += 4 + (size_t)length;
    }
    if (load.body_count == 0) die("BODIES is empty");
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    size_t rank = (size_t)(share * (double)result.finished + 0.999999);
    return result.latencies_us[rank ? rank - 1 : 0];
}

static void report(uint64_t nanoseconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(result.latencies_us, result.finished, sizeof(double), ascending);
    printf("{\"requests\": %zu, \"seconds\": %.6f, \"errors\": %zu, \"accepted\": %zu, \"duplicates\": %zu, \"rejected\": %zu, ",
           result.finished, (double)nanoseconds / 1e9, result.errors, result.accepted, result.duplicates, result.rejected);
    printf("\"applied_answers\": %zu, \"request_bytes\": %llu, \"response_bytes\": %llu, \"client_cpu_seconds\": %.3f, \"statuses\": {",
           result.applied, (unsigned long long)result.request_bytes, (unsigned long long)result.response_bytes, cpu);
    const char *comma = "";
    for (size_t status = 0; status < 600; status++) {
        if (!result.statuses[status]) continue;
        printf("%s\"%zu\": %zu", comma, status, result.statuses[status]);
        comma = ", ";
    }
    printf("}, \"latency_us\": {\"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"max\": %.0f}}\n",
           percentile(0.5), percentile(0.95), percentile(0.99), percentile(1.0));
}

int main(int argc, char **argv) {
    if (argc < 8 || argc > 10) {
        fprintf(stderr, "usage: load json|grpc HOST PORT PATH BODIES CONNECTIONS REQUESTS [KEY [AUTHORITY]]\n");
        return 2;
    }
    load.grpc = strcmp(argv[1], "grpc") == 0;
    load.host = argv[2];
    load.port = atoi(argv[3]);
    load.path = argv[4];
    read_bodies(argv[5]);
    load.connection_count = strtoul(argv[6], NULL, 10);
    load.requests = strtoul(argv[7], NULL, 10);
    load.key = argc > 8 && *argv[8] ? argv[8] : NULL;
    load.authority = argc > 9 ? argv[9] : NULL;
    if (load.key && (load.grpc || strlen(load.key) > 64)) die("arguments");
    if (!load.connection_count || !load.requests || strlen(load.path) > 126) die("arguments");
    if (load.connection_count > load.requests) load.connection_count = load.requests;
    if (load.authority) {
        signal(SIGPIPE, SIG_IGN);  /* OpenSSL writes without MSG_NOSIGNAL */
        tls_prepare();
    }
    result.latencies_us = calloc(load.requests, sizeof(double));
    Connection *connections = calloc(load.connection_count, sizeof(Connection));
    if (!result.latencies_us || !connections || (poller = epoll_create1(0)) < 0) die("memory");
    for (size_t i = 0; i < load.connection_count; i++) open_connection(&connections[i]);

    uint64_t began = now_ns();
    for (size_t i = 0; i < load.connection_count; i++) {
        next_request(&connections[i]);
        flush(&connections[i]);
    }
    while (result.finished < load.requests) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, STALL_MS);
        if (n < 0 && errno != EINTR) die("epoll");
        if (n == 0) {
            fprintf(stderr, "load: no answer for %d s, %zu of %zu requests done\n", STALL_MS / 1000, result.finished, load.requests);
            return 3;
        }
        for (int i = 0; i < n; i++) serve(events[i].data.ptr, events[i].events);
    }
    report(now_ns() - began);
    return 0;
}
