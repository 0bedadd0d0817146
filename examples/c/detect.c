/* A device in C for detectors: reads a picture, sends its layers over REST, in the blocks that the server asks for, and
 * prints what is where.
 *
 *     overtone c-profile --server http://HOST:8080 --out profile.h
 *     cc -O2 -I. -Ifrequency examples/c/detect.c frequency/device.c frequency/block_mask.c frequency/coder.c \
 *         frequency/wasm/image.c -lcurl -lm -o detect
 *     ./detect http://HOST:8080 photograph.ppm
 */

#include "encode.h"
#include "rest.h"

/* In frequency/wasm/image.c. */
size_t overtone_letter_box_workspace(int32_t width, int32_t height, int32_t size);
void overtone_letter_box(const uint8_t *rgba, int32_t width, int32_t height, int32_t size, unsigned char *workspace,
                         uint8_t *rgb);

/* A picture as it is sent, and the room for payloads of some blocks. */
typedef struct {
    int width, height;
    Encoded image;
    uint8_t *region;
} Picture;

static Picture opened(const char *path)
{
    Picture picture;
    int size = profile.size;
    uint8_t *rgba = read_image(path, &picture.width, &picture.height);
    uint8_t *rgb = allocated(3 * (size_t)size * (size_t)size);
    unsigned char *room = allocated(overtone_letter_box_workspace(picture.width, picture.height, size));
    overtone_letter_box(rgba, picture.width, picture.height, size, room, rgb);
    picture.image = encoded(rgb, path);
    picture.region = allocated(PAYLOAD_ROOM);
    free(room);
    free(rgb);
    free(rgba);
    return picture;
}

/* The bytes of a string in base64, which ends with anything that is no digit of it. */
static size_t decoded(const char *text, uint8_t *out, size_t room)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t size = 0;
    int count = 0;
    for (const char *digit; *text && (digit = strchr(DIGITS, *text)) && size < room; text++) {
        bits = bits << 6 | (uint32_t)(digit - DIGITS);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[size++] = (uint8_t)(bits >> count);
        }
    }
    return size;
}

/* Encodes the layers after the known ones anew, if the server wants some blocks of them only. */
static void narrow(void *device, const Reply *reply, int known)
{
    static uint8_t mask[ROOM];
    Picture *picture = device;
    Encoded *image = &picture->image;
    const char *blocks = strstr(reply->text, "\"blocks\":\"");
    if (!blocks)
        return;
    size_t size = decoded(blocks + strlen("\"blocks\":\""), mask, sizeof mask);
    must(overtone_encode_region(&profile, image->values, mask, size, known, image->workspace, picture->region,
                                PAYLOAD_ROOM, image->payloads),
         "blocks");
}

/* A line for each thing: its class, its probability, and its corners in pixels. */
static void print_things(const Reply *reply, const Picture *picture)
{
    const char *at = member(reply, "\"detections\":");
    while ((at = strstr(at, "\"index\":"))) {
        int class = atoi(at + strlen("\"index\":"));
        const char *probability = strstr(at, "\"probability\":"), *box = strstr(at, "\"box\":[");
        if (!probability || !box)
            fail("answer", reply->text);
        printf("%s %.3f", labels[class], atof(probability + strlen("\"probability\":")));
        at = box + strlen("\"box\":[");
        for (int i = 0; i < 4; i++, at += strcspn(at, ",]") + 1)
            printf(" %.0f", atof(at) * (i % 2 ? picture->height : picture->width));
        printf("\n");
    }
}

static void detect(const char *server, Picture *picture)
{
    Reply *reply = allocated(sizeof *reply);
    char query[64];
    size_t sent;
    snprintf(query, sizeof query, "width=%d&height=%d", picture->width, picture->height);
    int layers = converse(server, query, picture->image.payloads, profile.layers, narrow, picture, reply, &sent);
    print_things(reply, picture);
    printf("%d of %d layers, %zu payload bytes\n", layers, profile.layers, sent);
    free(reply);
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage", "detect http://HOST:8080 IMAGE.ppm");
    Picture picture = opened(arguments[2]);
    detect(arguments[1], &picture);
    free(picture.region);
    release(&picture.image);
    return 0;
}
