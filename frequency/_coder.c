/* The binding of coder.c to Python: frequency/coder.py calls it. The GIL is released while coding. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>

#include "coder.h"

static PyObject *fail(overtone_status status)
{
    int about_body = status >= OVERTONE_BAD_VALUE;
    PyErr_SetString(about_body ? PyExc_ValueError : PyExc_RuntimeError, overtone_message(status));
    return NULL;
}

static int holds(const Py_buffer *planes, int32_t count, const overtone_layer *layer)
{
    size_t blocks = (size_t)layer->height * (size_t)layer->width;
    return (size_t)planes->len == (size_t)count * blocks * sizeof(int16_t);
}

static PyObject *encode_buffers(const overtone_layer *layer, const Py_buffer *known, const Py_buffer *coded,
                                unsigned check)
{
    overtone_needs needs;
    overtone_status status = overtone_measure(layer, &needs);
    if (status == OVERTONE_GOOD && !(holds(known, needs.known, layer) && holds(coded, needs.coded, layer)))
        status = OVERTONE_BAD_PLAN;
    if (status != OVERTONE_GOOD)
        return fail(status);
    void *workspace = malloc(needs.workspace);
    unsigned char *body = malloc(needs.body);
    size_t size = 0;
    if (!workspace || !body) {
        free(workspace);
        free(body);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    status = overtone_encode(layer, known->buf, coded->buf, check, workspace, body, &size);
    Py_END_ALLOW_THREADS
    PyObject *found =
        status == OVERTONE_GOOD ? PyBytes_FromStringAndSize((char *)body, (Py_ssize_t)size) : fail(status);
    free(workspace);
    free(body);
    return found;
}

static PyObject *decode_buffers(const overtone_layer *layer, const Py_buffer *known, const Py_buffer *body)
{
    overtone_needs needs;
    overtone_status status = overtone_measure(layer, &needs);
    if (status == OVERTONE_GOOD && !holds(known, needs.known, layer))
        status = OVERTONE_BAD_PLAN;
    if (status != OVERTONE_GOOD)
        return fail(status);
    size_t bytes = (size_t)needs.coded * (size_t)layer->height * (size_t)layer->width * sizeof(int16_t);
    void *workspace = malloc(needs.workspace);
    int16_t *coded = malloc(bytes);
    uint32_t check = 0;
    if (!workspace || !coded) {
        free(workspace);
        free(coded);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    status = overtone_decode(layer, known->buf, body->buf, (size_t)body->len, workspace, coded, &check);
    Py_END_ALLOW_THREADS
    PyObject *found = status == OVERTONE_GOOD
                          ? Py_BuildValue("y#I", (char *)coded, (Py_ssize_t)bytes, (unsigned)check)
                          : fail(status);
    free(workspace);
    free(coded);
    return found;
}

/* A layer whose region, a byte for each block, may be None. */
static int read_layer(const Py_buffer *plan, int height, int width, PyObject *region, Py_buffer *blocks,
                      overtone_layer *layer)
{
    *layer = (overtone_layer){plan->buf, (size_t)plan->len, height, width, NULL};
    if (region == Py_None)
        return 1;
    if (PyObject_GetBuffer(region, blocks, PyBUF_SIMPLE))
        return 0;
    layer->region = blocks->buf;
    if (height < 1 || width < 1 || (size_t)blocks->len != (size_t)height * (size_t)width) {
        PyErr_SetString(PyExc_RuntimeError, "the region does not fit the planes");
        return 0;
    }
    return 1;
}

static PyObject *encode(PyObject *module, PyObject *arguments)
{
    Py_buffer plan, known, coded, blocks = {0};
    PyObject *region = Py_None, *body = NULL;
    int height, width;
    unsigned check;
    overtone_layer layer;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*iiI|O:encode", &plan, &known, &coded, &height, &width, &check, &region))
        return NULL;
    if (read_layer(&plan, height, width, region, &blocks, &layer))
        body = encode_buffers(&layer, &known, &coded, check);
    if (blocks.obj)
        PyBuffer_Release(&blocks);
    PyBuffer_Release(&plan);
    PyBuffer_Release(&known);
    PyBuffer_Release(&coded);
    return body;
}

static PyObject *decode(PyObject *module, PyObject *arguments)
{
    Py_buffer plan, known, body, blocks = {0};
    PyObject *region = Py_None, *found = NULL;
    int height, width;
    overtone_layer layer;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*ii|O:decode", &plan, &known, &body, &height, &width, &region))
        return NULL;
    if (read_layer(&plan, height, width, region, &blocks, &layer))
        found = decode_buffers(&layer, &known, &body);
    if (blocks.obj)
        PyBuffer_Release(&blocks);
    PyBuffer_Release(&plan);
    PyBuffer_Release(&known);
    PyBuffer_Release(&body);
    return found;
}

static PyMethodDef METHODS[] = {
    {"encode", encode, METH_VARARGS, "encode(plan, known, coded, height, width, check, region=None) -> bytes"},
    {"decode", decode, METH_VARARGS, "decode(plan, known, body, height, width, region=None) -> (bytes, check)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_coder", "The entropy coder in C, see `frequency.coder`.", 0, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__coder(void)
{
    return PyModule_Create(&MODULE);
}
