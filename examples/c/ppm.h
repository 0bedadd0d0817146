/* Images from files for the examples: binary PPM, which `convert photograph.jpg photograph.ppm` or `djpeg` writes. */

#ifndef EXAMPLE_PPM_H
#define EXAMPLE_PPM_H

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LARGEST_SIDE = 16384 };

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void *allocated(size_t bytes)
{
    void *at = malloc(bytes);
    if (!at)
        fail("device", "out of memory");
    return at;
}

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

#endif
