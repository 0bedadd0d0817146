/* A device in C: reads an image, sends layers over REST until the server is sure, and prints the answer.
 *
 *     overtone c-profile --server http://HOST:8080 --out profile.h
 *     cc -O2 -I. -Ifrequency examples/c/classify.c frequency/device.c frequency/block_mask.c frequency/coder.c \
 *         frequency/wasm/image.c -lcurl -lm -o classify
 *     ./classify http://HOST:8080 photograph.ppm
 */

#include "profile.h"
#include "rest.h"

/* In frequency/wasm/image.c. */
size_t overtone_fit_workspace(int32_t height, float side, int32_t size);
void overtone_fit(const uint8_t *rgba, int32_t width, int32_t height, float left, float top, float right, float bottom,
                  int32_t size, unsigned char *workspace, uint8_t *rgb);

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

static void classify(const char *server, const overtone_payload *payloads)
{
    struct curl_slist *headers;
    Reply *reply = allocated(sizeof *reply);
    CURL *curl = connection(&headers, reply);
    uint8_t *body = allocated(ROOM);
    char url[1024];
    size_t sent = 0;
    int known = 0, wanted = 1;
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
        wanted = asked(server, reply, known, profile.layers, url, sizeof url);
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
