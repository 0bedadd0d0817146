/* A device in C for detectors: reads a picture, sends its layers over REST, in the blocks that the server asks for, and
 * prints what is where.
 *
 *     overtone c-profile --server http://HOST:8080 --out profile.h
 *     cc -O2 -I. -Ifrequency examples/c/detect.c frequency/device.c frequency/block_mask.c frequency/coder.c \
 *         frequency/wasm/image.c -lcurl -lm -o detect
 *     ./detect http://HOST:8080 photograph.ppm
 */

#include "profile.h"
#include "rest.h"

/* In frequency/wasm/image.c. */
size_t overtone_letter_box_workspace(int32_t width, int32_t height, int32_t size);
void overtone_letter_box(const uint8_t *rgba, int32_t width, int32_t height, int32_t size, unsigned char *workspace,
                         uint8_t *rgb);

/* A picture as it is sent: its coefficients, its payloads, and what they need. */
typedef struct {
    int width, height;
    int16_t *values;
    void *workspace;
    uint8_t *whole, *region; /* rooms for payloads of all blocks and of some */
    overtone_payload payloads[OVERTONE_MAX_LAYERS];
} Picture;

static void must(overtone_status status, const char *what)
{
    if (status != OVERTONE_GOOD)
        fail(what, overtone_message(status));
}

static Picture encoded(const char *path)
{
    Picture picture;
    int size = profile.size;
    uint8_t *rgba = read_image(path, &picture.width, &picture.height);
    uint8_t *rgb = allocated(3 * (size_t)size * (size_t)size);
    unsigned char *room = allocated(overtone_letter_box_workspace(picture.width, picture.height, size));
    overtone_letter_box(rgba, picture.width, picture.height, size, room, rgb);
    picture.values = allocated(overtone_values(&profile) * sizeof *picture.values);
    for (int32_t row = 0; row < size / 8; row++)
        overtone_analyse(&profile, rgb + (size_t)row * 8 * 3 * (size_t)size, row, picture.values);
    size_t bytes = overtone_workspace(&profile);
    if (!bytes)
        fail("profile.h", "does not hold together");
    picture.workspace = allocated(bytes);
    picture.whole = allocated(ROOM / 2);
    picture.region = allocated(ROOM / 2);
    must(overtone_encode_image(&profile, picture.values, picture.workspace, picture.whole, ROOM / 2, picture.payloads),
         path);
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
static void narrow(Picture *picture, const Reply *reply, int known)
{
    static uint8_t mask[ROOM];
    const char *blocks = strstr(reply->text, "\"blocks\":\"");
    if (!blocks)
        return;
    size_t size = decoded(blocks + strlen("\"blocks\":\""), mask, sizeof mask);
    must(overtone_encode_region(&profile, picture->values, mask, size, known, picture->workspace, picture->region,
                                ROOM / 2, picture->payloads),
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
    struct curl_slist *headers;
    Reply *reply = allocated(sizeof *reply);
    CURL *curl = connection(&headers, reply);
    uint8_t *body = allocated(ROOM);
    char url[1024];
    size_t sent = 0;
    int known = 0, wanted = 1;
    snprintf(url, sizeof url, "%s/v1/images?width=%d&height=%d", server, picture->width, picture->height);
    for (;;) {
        for (int i = known; i < wanted; i++)
            sent += picture->payloads[i].size;
        long status = post(curl, url, body, joined(picture->payloads, known, wanted, body), reply);
        if (status == 200)
            break;
        if (status != 202)
            fail(server, reply->text);
        known = wanted;
        wanted = asked(server, reply, known, profile.layers, url, sizeof url);
        narrow(picture, reply, known);
    }
    print_things(reply, picture);
    printf("%d of %d layers, %zu payload bytes\n", wanted, profile.layers, sent);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(reply);
    free(body);
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage", "detect http://HOST:8080 IMAGE.ppm");
    Picture picture = encoded(arguments[2]);
    detect(arguments[1], &picture);
    free(picture.region);
    free(picture.whole);
    free(picture.workspace);
    free(picture.values);
    return 0;
}
