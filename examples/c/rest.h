/* REST through libcurl for the examples: payloads out, replies in. */

#ifndef EXAMPLE_REST_H
#define EXAMPLE_REST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "overtone.h"
#include "ppm.h"

enum { ROOM = 256 * 1024 };

typedef struct {
    char text[ROOM];
    size_t size;
} Reply;

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

/* A connection whose replies go to `reply`. */
static CURL *connection(struct curl_slist **headers, Reply *reply)
{
    CURL *curl = curl_easy_init();
    *headers = curl_slist_append(NULL, "Content-Type: application/vnd.overtone");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    return curl;
}

/* How many layers a server wants that has `known` ones, and the address for the next. */
static int asked(const char *server, const Reply *reply, int known, int layers, char *url, size_t room)
{
    int wanted = atoi(member(reply, "\"layers\":"));
    if (wanted <= known || wanted > layers)
        fail(server, "asks for layers that this image does not have");
    const char *token = member(reply, "\"token\":\"");
    snprintf(url, room, "%s/v1/images/%.*s/layers?top=1", server, (int)strcspn(token, "\""), token);
    return wanted;
}

/* What a device does before it sends the layers from number `known` on that a reply asks for, if anything. */
typedef void Prepare(void *device, const Reply *reply, int known);

/* Sends layers until the server answers, which `reply` then holds, and returns how many it took. `query` is that of the
 * first request, and `sent` the payload bytes. */
static int converse(const char *server, const char *query, const overtone_payload *payloads, int layers,
                    Prepare *prepare, void *device, Reply *reply, size_t *sent)
{
    struct curl_slist *headers;
    CURL *curl = connection(&headers, reply);
    uint8_t *body = allocated(ROOM);
    char url[1024];
    int known = 0, wanted = 1;
    *sent = 0;
    snprintf(url, sizeof url, "%s/v1/images?%s", server, query);
    for (;;) {
        for (int i = known; i < wanted; i++)
            *sent += payloads[i].size;
        long status = post(curl, url, body, joined(payloads, known, wanted, body), reply);
        if (status == 200)
            break;
        if (status != 202)
            fail(server, reply->text);
        known = wanted;
        wanted = asked(server, reply, known, layers, url, sizeof url);
        if (prepare)
            prepare(device, reply, known);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(body);
    return wanted;
}

#endif
