/* An image as it is sent, for the examples: its payloads, and what is needed to make further ones. */

#ifndef EXAMPLE_ENCODE_H
#define EXAMPLE_ENCODE_H

#include "overtone.h"
#include "ppm.h"
#include "profile.h"

enum { PAYLOAD_ROOM = 128 * 1024 };

typedef struct {
    int16_t *values;
    void *workspace;
    uint8_t *room; /* of the payloads */
    overtone_payload payloads[OVERTONE_MAX_LAYERS];
} Encoded;

static void must(overtone_status status, const char *what)
{
    if (status != OVERTONE_GOOD)
        fail(what, overtone_message(status));
}

/* All layers of an RGB image of the profile's size; `name` is for errors. */
static Encoded encoded(const uint8_t *rgb, const char *name)
{
    Encoded image;
    image.values = allocated(overtone_values(&profile) * sizeof *image.values);
    for (int32_t row = 0; row < profile.size / 8; row++)
        overtone_analyse(&profile, rgb + (size_t)row * 8 * 3 * (size_t)profile.size, row, image.values);
    size_t bytes = overtone_workspace(&profile);
    if (!bytes)
        fail("profile.h", "does not hold together");
    image.workspace = allocated(bytes);
    image.room = allocated(PAYLOAD_ROOM);
    must(overtone_encode_image(&profile, image.values, image.workspace, image.room, PAYLOAD_ROOM, image.payloads), name);
    return image;
}

static void release(Encoded *image)
{
    free(image->room);
    free(image->workspace);
    free(image->values);
}

#endif
