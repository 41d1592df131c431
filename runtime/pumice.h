/* Pumice: a portable Vulkan-compute runtime that trains and samples neural networks on any vendor's GPU.
 *
 * The order of a program: open a device, build a graph out of tensors, differentiate it, plan it on the
 * device, run the plan as often as wanted, read tensors back. Building never returns an error: the first
 * wrong shape puts the graph in an error state that pm_graph_status() reports, and everything after it is a
 * no-op.
 *
 * Conventions. Tensors are dense and row-major; images are [batch, height, width, channels]. Functions that
 * can fail return a pm_status and take a pm_error (which may be NULL) for the message. Objects come from
 * *_create or *_open and go with *_destroy or *_close, which accept NULL. Nothing here is thread-safe on one
 * object; different objects may be used from different threads.
 *
 * A program meets the headers below in this order: status, device, graph, operators, processes, plan. */
#ifndef PUMICE_H
#define PUMICE_H

#include "pumice_device.h"
#include "pumice_graph.h"
#include "pumice_operators.h"
#include "pumice_plan.h"
#include "pumice_processes.h"
#include "pumice_status.h"

#endif
