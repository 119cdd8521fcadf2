/* Answers photos with TensorFlow's C API, which the Python wheel brings along.

   answer_with_c E/saved_model a.jpg b.jpg

   The README beside this file has the command that compiles it. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

typedef struct {
  const uint8_t *data;
  size_t size;
} Slice;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "error: %s: %s\n", what, why);
  exit(1);
}

static uint64_t varint(Slice *from) {
  uint64_t value = 0;
  int shift = 0;
  uint8_t byte = 0x80;
  for (; byte & 0x80 && from->size && shift < 64; shift += 7) {
    byte = *from->data++;
    from->size--;
    value |= (uint64_t)(byte & 0x7f) << shift;
  }
  return value;
}

/* Returns a field of a protocol buffer message, or with a key the value of that
   key in a field that is a map. All fields read here are length-delimited, and
   all before them are that or varints. */
static Slice field(Slice message, uint64_t number, const char *key) {
  while (message.size) {
    uint64_t tag = varint(&message), size = varint(&message);
    if ((tag & 7) == 0) continue;
    if ((tag & 7) != 2 || size > message.size) break;
    Slice content = {message.data, size};
    message.data += size;
    message.size -= size;
    if (tag >> 3 != number) continue;
    if (!key) return content;
    Slice name = field(content, 1, NULL);
    if (name.size == strlen(key) && !memcmp(name.data, key, name.size))
      return field(content, 2, NULL);
  }
  fail(key ? key : "SavedModel", "not in its signatures");
  return message;
}

/* Finds the tensor of a signature's input (1) or output (2) in the graph. */
static TF_Output tensor(TF_Graph *graph, Slice signature, int way,
                        const char *name) {
  Slice full = field(field(signature, way, name), 1, NULL);
  char operation[256] = "";
  if (full.size < sizeof operation) memcpy(operation, full.data, full.size);
  char *colon = strrchr(operation, ':');
  if (!colon) fail(name, "its tensor has no name of the form operation:0");
  *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, operation),
                     atoi(colon + 1)};
  if (!found.oper) fail(operation, "not in the graph");
  return found;
}

static void read_photo(const char *path, TF_TString *photo) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) fail(path, "cannot be read");
  long size = ftell(file);
  rewind(file);
  char *content = size < 0 ? NULL : malloc(size + 1);
  if (!content || fread(content, 1, size, file) != (size_t)size)
    fail(path, "cannot be read");
  fclose(file);
  TF_StringInit(photo);
  TF_StringCopy(photo, content, size);
  free(content);
}

int main(int count, char **words) {
  if (count < 3) fail("usage", "answer_with_c E/saved_model PHOTO...");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_Buffer *meta = TF_NewBuffer();
  const char *tags[] = {"serve"};
  TF_Session *session =
      TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, words[1], tags,
                                   1, graph, meta, status);
  if (TF_GetCode(status)) fail(words[1], TF_Message(status));
  Slice all = {meta->data, meta->length};
  Slice signature = field(all, 5, "photos");
  TF_Output input = tensor(graph, signature, 1, "photos");
  TF_Output outputs[] = {tensor(graph, signature, 2, "sentence_ko"),
                         tensor(graph, signature, 2, "error")};

  int64_t photos = count - 2;
  TF_Tensor *batch =
      TF_AllocateTensor(TF_STRING, &photos, 1, photos * sizeof(TF_TString));
  TF_TString *contents = TF_TensorData(batch);
  for (int i = 0; i < photos; i++) read_photo(words[i + 2], contents + i);
  TF_Tensor *answers[2];
  TF_SessionRun(session, NULL, &input, &batch, 1, outputs, answers, 2, NULL, 0,
                NULL, status);
  if (TF_GetCode(status)) fail("photos", TF_Message(status));
  TF_TString *sentences = TF_TensorData(answers[0]);
  TF_TString *errors = TF_TensorData(answers[1]);
  for (int i = 0; i < photos; i++) {
    TF_TString *said = TF_StringGetSize(errors + i) ? errors + i : sentences + i;
    printf("%s: %.*s\n", words[i + 2], (int)TF_StringGetSize(said),
           TF_StringGetDataPointer(said));
  }
  return 0; /* The system frees what is left. */
}
