/* Reads the counts of the contract out of answers, without parsing the rest. */
#include "load.h"
#include <string.h>

static int json_count(const Buffer *b, const char *key, size_t *total) {
    const uint8_t *found = memmem(b->at, b->length, key, strlen(key));
    if (!found) return 0;
    const char *p = (const char *)found + strlen(key), *end = (const char *)b->at + b->length;
    size_t value = 0;
    while (p < end && (*p == ' ' || *p == ':')) p++;
    for (; p < end && *p >= '0' && *p <= '9'; p++) value = value * 10 + (size_t)(*p - '0');
    *total += value;
    return p < end && *p == 't';
}

void count_json(const Buffer *b) {
    size_t ignored = 0;
    json_count(b, "\"accepted\":", &result.accepted);
    json_count(b, "\"duplicates\":", &result.duplicates);
    json_count(b, "\"rejected\":", &result.rejected);
    result.applied += (size_t)json_count(b, "\"applied\":", &ignored);
}

static uint64_t varint(const uint8_t **p, const uint8_t *end) {
    uint64_t value = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    return value;
}

/* PublishEventsResponse: accepted 1, duplicates 2, rejected 3, applied 4, then the results, which need not be read. */
void count_protobuf(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p & 7) == 0) {
        uint32_t field = *p++ >> 3;
        uint64_t value = varint(&p, end);
        if (field == 1) result.accepted += value;
        if (field == 2) result.duplicates += value;
        if (field == 3) result.rejected += value;
        if (field == 4) result.applied += value != 0;
    }
}
