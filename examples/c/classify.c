/* A device in C: reads an image, sends layers over REST until the server is sure, and prints the answer.
 *
 *     overtone c-profile --server http://HOST:8080 --out profile.h
 *     cc -O2 -I. -Ifrequency examples/c/classify.c frequency/device.c frequency/coder.c frequency/wasm/image.c \
 *         -lcurl -lm -o classify
 *     ./classify http://HOST:8080 photograph.ppm
 *
 * The image is a binary PPM, which `convert photograph.jpg photograph.ppm` or `djpeg` writes.
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "profile.h"

/* In frequency/wasm/image.c. */
size_t overtone_fit_workspace(int32_t height, float side, int32_t size);
void overtone_fit(const uint8_t *rgba, int32_t width, int32_t height, float left, float top, float right, float bottom,
                  int32_t size, unsigned char *workspace, uint8_t *rgb);

enum { ROOM = 64 * 1024, LARGEST_SIDE = 16384 };

typedef struct {
    char text[ROOM];
    size_t size;
} Reply;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void *allocated(size_t bytes)
{
    void *at = malloc(bytes);
    if (!at)
        fail("classify", "out of memory");
    return at;
}

/* ---- the image ---- */

static int read_number(FILE *file)
{
    int c = fgetc(file), number = 0;
    while (isspace(c) || c == '#') {
        if (c == '#')
            while (c != '\n' && c != EOF)
                c = fgetc(file);
        c = fgetc(file);
    }
    for (; isdigit(c) && number <= LARGEST_SIDE; c = fgetc(file))
        number = 10 * number + c - '0';
    return number;
}

/* RGBA of a binary PPM. */
static uint8_t *read_image(const char *path, int *width, int *height)
{
    FILE *file = fopen(path, "rb");
    if (!file || fgetc(file) != 'P' || fgetc(file) != '6')
        fail(path, "not a binary PPM");
    *width = read_number(file);
    *height = read_number(file);
    if (*width < 1 || *height < 1 || *width > LARGEST_SIDE || *height > LARGEST_SIDE || read_number(file) != 255)
        fail(path, "not a PPM of 8 bits a colour and a usual size");
    size_t count = (size_t)*width * (size_t)*height;
    uint8_t *rgba = allocated(4 * count);
    for (size_t i = 0; i < count; i++)
        if (fread(rgba + 4 * i, 1, 3, file) != 3)
            fail(path, "cut short");
    fclose(file);
    return rgba;
}

static int nearest(double value)
{
    int below = (int)value;
    double over = value - below;
    return over > 0.5 || (over == 0.5 && below % 2) ? below + 1 : below;
}

/* The square that the profile's size shows, as RGB: the short side becomes 8/7 of it, and the middle is cut out. */
static uint8_t *fitted(const uint8_t *rgba, int width, int height)
{
    int size = profile.size, side = nearest(size * 8 / 7.0), least = width < height ? width : height;
    double scale = (double)side / least;
    int wide = nearest(width * scale), high = nearest(height * scale);
    float left = (float)((wide - size) / 2.0 * width / wide), top = (float)((high - size) / 2.0 * height / high);
    float right = (float)(((wide - size) / 2.0 + size) * width / wide);
    float bottom = (float)(((high - size) / 2.0 + size) * height / high);
    float longest = right - left > bottom - top ? right - left : bottom - top;
    uint8_t *rgb = allocated(3 * (size_t)size * (size_t)size);
    unsigned char *workspace = allocated(overtone_fit_workspace(height, longest, size));
    overtone_fit(rgba, width, height, left, top, right, bottom, size, workspace, rgb);
    free(workspace);
    return rgb;
}

/* ---- the server ---- */

static size_t keep(char *bytes, size_t size, size_t count, void *to)
{
    Reply *reply = to;
    if (size * count >= sizeof reply->text - reply->size)
        return 0;
    memcpy(reply->text + reply->size, bytes, size * count);
    reply->size += size * count;
    reply->text[reply->size] = 0;
    return size * count;
}

/* The payloads from number `from` up to `to`, each after its size as LEB128. */
static size_t joined(const overtone_payload *payloads, int from, int to, uint8_t *out)
{
    uint8_t *at = out;
    for (int i = from; i < to; i++) {
        size_t size = payloads[i].size;
        for (; size > 0x7F; size >>= 7)
            *at++ = (uint8_t)(size | 0x80);
        *at++ = (uint8_t)size;
        memcpy(at, payloads[i].bytes, payloads[i].size);
        at += payloads[i].size;
    }
    return (size_t)(at - out);
}

static long post(CURL *curl, const char *url, const uint8_t *body, size_t size, Reply *reply)
{
    reply->size = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)size);
    CURLcode problem = curl_easy_perform(curl);
    if (problem != CURLE_OK)
        fail(url, curl_easy_strerror(problem));
    long status;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Where the value of a member of the reply begins. A device with a JSON parser would use it. */
static const char *member(const Reply *reply, const char *name)
{
    const char *at = strstr(reply->text, name);
    if (!at)
        fail(name, reply->text);
    return at + strlen(name);
}

static void classify(const char *server, const overtone_payload *payloads)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/vnd.overtone");
    Reply *reply = allocated(sizeof *reply);
    uint8_t *body = allocated(ROOM);
    char url[1024];
    size_t sent = 0;
    int known = 0, wanted = 1;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    snprintf(url, sizeof url, "%s/v1/images?top=1", server);
    for (;;) {
        for (int i = known; i < wanted; i++)
            sent += payloads[i].size;
        long status = post(curl, url, body, joined(payloads, known, wanted, body), reply);
        if (status == 200)
            break;
        if (status != 202)
            fail(server, reply->text);
        known = wanted;
        wanted = atoi(member(reply, "\"layers\":"));
        if (wanted <= known || wanted > profile.layers)
            fail(server, "asks for layers that this image does not have");
        const char *token = member(reply, "\"token\":\"");
        snprintf(url, sizeof url, "%s/v1/images/%.*s/layers?top=1", server, (int)strcspn(token, "\""), token);
    }
    int class = atoi(member(reply, "\"index\":"));
    double confidence = atof(member(reply, "\"confidence\":"));
    printf("%s %.3f, %d of %d layers, %zu payload bytes\n", labels[class], confidence, wanted, profile.layers, sent);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(reply);
    free(body);
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage", "classify http://HOST:8080 IMAGE.ppm");
    int width, height;
    uint8_t *rgba = read_image(arguments[2], &width, &height);
    uint8_t *rgb = fitted(rgba, width, height);
    int16_t *values = allocated(overtone_values(&profile) * sizeof *values);
    for (int32_t row = 0; row < profile.size / 8; row++)
        overtone_analyse(&profile, rgb + (size_t)row * 8 * 3 * (size_t)profile.size, row, values);
    size_t bytes = overtone_workspace(&profile);
    if (!bytes)
        fail("profile.h", "does not hold together");
    void *workspace = allocated(bytes);
    uint8_t *out = allocated(ROOM / 2);
    overtone_payload payloads[OVERTONE_MAX_LAYERS];
    overtone_status status = overtone_encode_image(&profile, values, workspace, out, ROOM / 2, payloads);
    if (status != OVERTONE_GOOD)
        fail(arguments[2], overtone_message(status));
    classify(arguments[1], payloads);
    free(out);
    free(workspace);
    free(values);
    free(rgb);
    free(rgba);
    return 0;
}
