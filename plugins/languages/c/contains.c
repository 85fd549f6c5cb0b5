// Keeps the records whose value contains a text.
//
// | configuration | |
// |---|---|
// | `text` | what the value has to contain (has to be set) |
//
// Exported is the interface `record-filter` of the world `filter`: a batch comes as it is stored, and is read here without a copy. The
// host has checked it before, yet no length is trusted: a mistake in this file should end in a trap and not in a wrong answer.

#include <stdlib.h>
#include <string.h>

#include "build/filter.h"

// The layout of a batch: see Kafka's RecordBatch, magic 2.
enum { BATCH_HEADER_LEN = 61, RECORD_COUNT_AT = 57 };

static uint8_t *text;
static size_t text_len;

// What is left to read of a batch or a record.
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
} cursor_t;

// The last words: the host gives them as the reason of the trap.
_Noreturn static void give_up(const char *why) {
  filter_string_t message;
  filter_string_set(&message, why);
  weir_plugin_log_log(WEIR_PLUGIN_LOG_LEVEL_CRITICAL, &message);
  __builtin_trap();
}

static const uint8_t *take(cursor_t *from, int64_t len) {
  if (len < 0 || len > from->end - from->at) give_up("a length in the batch is wrong");
  const uint8_t *bytes = from->at;
  from->at += len;
  return bytes;
}

// A zigzag number of at most 64 bits: seven a byte, the lowest first.
static int64_t take_varint(cursor_t *from) {
  uint64_t bits = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = *take(from, 1);
    bits |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
  }
  give_up("a number in the batch is too long");
}

static bool contains(const uint8_t *value, size_t len) {
  if (text_len == 0) return true;
  const uint8_t *end = value + len;
  while ((size_t)(end - value) >= text_len) {
    value = memchr(value, text[0], (size_t)(end - value) - text_len + 1);
    if (value == NULL) return false;
    if (memcmp(value, text, text_len) == 0) return true;
    value++;
  }
  return false;
}

// Takes one record off the batch: its length, attributes, timestamp and offset, then key, value and headers.
static bool keep(cursor_t *batch) {
  int64_t len = take_varint(batch);
  cursor_t record = {.at = take(batch, len), .end = batch->at};
  take(&record, 1);
  take_varint(&record);
  take_varint(&record);
  int64_t key_len = take_varint(&record);
  if (key_len > 0) take(&record, key_len);
  int64_t value_len = take_varint(&record);
  // A length of -1 is a tombstone, which contains nothing.
  return value_len >= 0 && contains(take(&record, value_len), (size_t)value_len);
}

bool exports_weir_plugin_record_filter_configure(filter_list_tuple2_string_string_t *config, filter_string_t *err) {
  bool found = false;
  for (size_t i = 0; i < config->len; i++) {
    filter_string_t key = config->ptr[i].f0, value = config->ptr[i].f1;
    if (key.len != 4 || memcmp(key.ptr, "text", 4) != 0) {
      filter_string_dup(err, "this plugin has one key, `text`");
      return false;
    }
    text = malloc(value.len + 1);
    if (text == NULL) give_up("no memory for `text`");
    memcpy(text, value.ptr, value.len);
    text_len = value.len;
    found = true;
  }
  filter_list_tuple2_string_string_free(config);
  if (!found) filter_string_dup(err, "`text` has to be set");
  return found;
}

void exports_weir_plugin_record_filter_filter(filter_list_u8_t *bytes, filter_list_u8_t *bitmap) {
  cursor_t batch = {.at = bytes->ptr, .end = bytes->ptr + bytes->len};
  const uint8_t *count_at = take(&batch, BATCH_HEADER_LEN) + RECORD_COUNT_AT;
  size_t records = (size_t)count_at[0] << 24 | (size_t)count_at[1] << 16 | (size_t)count_at[2] << 8 | count_at[3];
  bitmap->len = records / 8 + (records % 8 != 0);
  // The bindings give it back with free().
  bitmap->ptr = calloc(bitmap->len, 1);
  if (bitmap->ptr == NULL) give_up("no memory for the answer");
  for (size_t i = 0; i < records; i++) {
    if (keep(&batch)) bitmap->ptr[i / 8] |= (uint8_t)(1 << i % 8);
  }
  filter_list_u8_free(bytes);
}
