/* watchdog, wire format: greetings and frames as bytes (drawn in watchdog.h), and their
 * authentication by the run's secret.
 *
 * Everything that arrives is treated as hostile until its tag is verified, and is checked
 * field by field even then. All messages have a fixed size, so no length is read from the
 * wire.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "watchdog_internal.h"
#include "base/blake2s.h"

static const uint8_t greeting_magic[8] = "tutti-w2";

/* Kinds used to derive keys; no greeting has them. */
enum { KEY_TO_COORDINATOR = 101, KEY_FROM_COORDINATOR };

bool watchdog_random_bytes(void *bytes, size_t size)
{
    ssize_t filled;
    do
        filled = getrandom(bytes, size, 0);
    while (filled < 0 && errno == EINTR);
    if (filled >= 0 && (size_t)filled < size)
        errno = EIO;
    return filled == (ssize_t)size;
}

/* ---- integers: little-endian on any host ---- */

static uint8_t *put(uint8_t *at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint64_t get(const uint8_t **at, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint64_t) * (*at)++ << 8 * i;
    return value;
}

static uint8_t *put32(uint8_t *at, int32_t value)
{
    return put(at, (uint32_t)value, 4);
}

static int32_t get32(const uint8_t **at)
{
    return (int32_t)get(at, 4);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- greetings ---- */

enum { GREETING_HEAD = WATCHDOG_GREETING_BYTES - WATCHDOG_TAG_BYTES };

/* The bytes that a greeting's tag authenticates: the greeting and the nonce that it
 * answers. Returns their number. */
static size_t encode_head(const struct watchdog_greeting *greeting,
                          const uint8_t *answered_nonce,
                          uint8_t head[GREETING_HEAD + WATCHDOG_NONCE_BYTES])
{
    uint8_t *at = head;
    memcpy(at, greeting_magic, sizeof greeting_magic);
    at = put32(at + sizeof greeting_magic, greeting->kind);
    at = put32(at, greeting->rank);
    memcpy(at, greeting->nonce, WATCHDOG_NONCE_BYTES);
    if (!answered_nonce)
        return GREETING_HEAD;
    memcpy(at + WATCHDOG_NONCE_BYTES, answered_nonce, WATCHDOG_NONCE_BYTES);
    return GREETING_HEAD + WATCHDOG_NONCE_BYTES;
}

void watchdog_greeting_encode(const struct watchdog_greeting *greeting,
                              const uint8_t *secret, const uint8_t *answered_nonce,
                              uint8_t *wire)
{
    uint8_t head[GREETING_HEAD + WATCHDOG_NONCE_BYTES];
    size_t size = encode_head(greeting, answered_nonce, head);
    memcpy(wire, head, GREETING_HEAD);
    blake2s_hash(wire + GREETING_HEAD, WATCHDOG_TAG_BYTES, secret, WATCHDOG_SECRET_BYTES,
                 head, size);
}

bool watchdog_greeting_decode(const uint8_t *wire, enum watchdog_greeting_kind kind,
                              const uint8_t *secret, const uint8_t *answered_nonce,
                              struct watchdog_greeting *greeting)
{
    uint8_t expected[WATCHDOG_GREETING_BYTES];
    const uint8_t *at = wire + sizeof greeting_magic;
    greeting->kind = get32(&at);
    greeting->rank = get32(&at);
    memcpy(greeting->nonce, at, WATCHDOG_NONCE_BYTES);
    watchdog_greeting_encode(greeting, secret, answered_nonce, expected);
    return blake2s_equal(expected, wire, sizeof expected) &&
           greeting->kind == (int32_t)kind;
}

struct watchdog_keys watchdog_session_keys(const uint8_t *secret, int32_t rank,
                                           const uint8_t *hello, const uint8_t *challenge)
{
    struct watchdog_keys keys;
    struct watchdog_greeting context = {.kind = KEY_TO_COORDINATOR, .rank = rank};
    uint8_t head[GREETING_HEAD + WATCHDOG_NONCE_BYTES];
    memcpy(context.nonce, hello, WATCHDOG_NONCE_BYTES);
    size_t size = encode_head(&context, challenge, head);
    blake2s_hash(keys.to_coordinator, WATCHDOG_SECRET_BYTES, secret,
                 WATCHDOG_SECRET_BYTES, head, size);
    context.kind = KEY_FROM_COORDINATOR;
    size = encode_head(&context, challenge, head);
    blake2s_hash(keys.from_coordinator, WATCHDOG_SECRET_BYTES, secret,
                 WATCHDOG_SECRET_BYTES, head, size);
    return keys;
}

/* ---- frames ---- */

enum { FRAME_AUTHENTICATED = WATCHDOG_FRAME_BYTES - WATCHDOG_TAG_BYTES };

void watchdog_frame_encode(const struct watchdog_frame *frame, uint64_t counter,
                           const uint8_t *key, uint8_t *wire)
{
    uint8_t *at = put(wire, counter, 8);
    at = put32(at, frame->kind);
    at = put32(at, frame->rank);
    at = put32(at, frame->pid);
    at = put32(at, frame->number);
    at = put(at, frame->pid_namespace, 8);
    at = put(at, frame->start_time, 8);
    at = put(at, (uint64_t)frame->step, 8);
    at = put(at, bits_of(frame->idle), 8);
    at = put32(at, frame->phase);
    at = put32(at, frame->successor);
    memcpy(at, frame->text, WATCHDOG_TEXT_SIZE);
    blake2s_hash(wire + FRAME_AUTHENTICATED, WATCHDOG_TAG_BYTES, key,
                 WATCHDOG_SECRET_BYTES, wire, FRAME_AUTHENTICATED);
}

static bool is_in_range(const struct watchdog_frame *frame)
{
    return frame->kind > 0 && frame->kind < WATCHDOG_KINDS && frame->rank >= 0 &&
           frame->pid > 0 && frame->step >= 0 && isfinite(frame->idle) &&
           frame->phase >= 0 && frame->phase < PHASES && frame->successor >= 0 &&
           memchr(frame->text, '\0', WATCHDOG_TEXT_SIZE) != NULL;
}

bool watchdog_frame_decode(const uint8_t *wire, const uint8_t *key, uint64_t *last,
                           struct watchdog_frame *frame)
{
    uint8_t tag[WATCHDOG_TAG_BYTES];
    const uint8_t *at = wire;
    blake2s_hash(tag, WATCHDOG_TAG_BYTES, key, WATCHDOG_SECRET_BYTES, wire,
                 FRAME_AUTHENTICATED);
    uint64_t counter = get(&at, 8);
    if (!blake2s_equal(tag, wire + FRAME_AUTHENTICATED, WATCHDOG_TAG_BYTES) ||
        counter <= *last)
        return false;
    *last = counter;
    frame->kind = get32(&at);
    frame->rank = get32(&at);
    frame->pid = get32(&at);
    frame->number = get32(&at);
    frame->pid_namespace = get(&at, 8);
    frame->start_time = get(&at, 8);
    frame->step = (int64_t)get(&at, 8);
    frame->idle = from_bits(get(&at, 8));
    frame->phase = get32(&at);
    frame->successor = get32(&at);
    memcpy(frame->text, at, WATCHDOG_TEXT_SIZE);
    return is_in_range(frame);
}
