/* A device in C: reads an image, sends layers over REST until the server is sure, and prints the answer.
 *
 *     overtone c-profile --server http://HOST:8080 --out profile.h
 *     cc -O2 -I. -Ifrequency examples/c/classify.c frequency/device.c frequency/block_mask.c frequency/coder.c \
 *         frequency/wasm/image.c -lcurl -lm -o classify
 *     ./classify http://HOST:8080 photograph.ppm
 */

#include "encode.h"
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
    Reply *reply = allocated(sizeof *reply);
    size_t sent;
    int layers = converse(server, "top=1", payloads, profile.layers, NULL, NULL, reply, &sent);
    int class = atoi(member(reply, "\"index\":"));
    double confidence = atof(member(reply, "\"confidence\":"));
    printf("%s %.3f, %d of %d layers, %zu payload bytes\n", labels[class], confidence, layers, profile.layers, sent);
    free(reply);
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage", "classify http://HOST:8080 IMAGE.ppm");
    int width, height;
    uint8_t *rgba = read_image(arguments[2], &width, &height);
    uint8_t *rgb = fitted(rgba, width, height);
    Encoded image = encoded(rgb, arguments[2]);
    classify(arguments[1], image.payloads);
    release(&image);
    free(rgb);
    free(rgba);
    return 0;
}
