/* A training run as the command has it: a trainer, and a directory with what it leaves behind.
 *
 *   checkpoint.safetensors  everything that a run needs to go on
 *   model.safetensors       what sampling needs
 *   log.jsonl               a line for each loss read: step, loss, grad_norm, seconds, images or tokens
 *   loss.svg                the curve of it
 *   samples-STEP.png, .txt  sheets of pictures, or texts, always from the same random numbers */
#ifndef PM_TOOLS_TRAINING_RUN_H
#define PM_TOOLS_TRAINING_RUN_H

#include "cli.h"
#include "plot.h"
#include "training/trainer.h"

typedef struct cli_training {
    /* filled in by the caller */
    pm_device *device;
    pm_trainer *trainer;
    pm_recipe recipe;
    const char *directory;
    uint32_t save_every, sample_every; /* steps; 0: not before the end */
    double seconds_limit;              /* 0: none */

    /* what happened */
    cli_point *points; /* step and loss, of this run and of what it goes on from */
    size_t n_points, cap_points;
    double earlier_seconds; /* of what it goes on from */
    double smooth_loss;     /* NAN before the first */
    double started;
    uint64_t first_step, saved_step;
    uint32_t bad_losses; /* in a row that are not finite */
    bool out_of_time;
    cli_log *log;
} cli_training;

/* The path of a file in the run's directory. */
const char *cli_training_path(const cli_training *run, const char *name, char *buffer, size_t size);

/* Opens the log. A run that goes on keeps the lines up to the trainer's step. */
pm_status cli_training_begin(cli_training *run, pm_error *error);

/* Trains to the last step, until time is up, or until cli_stopped(); saves and draws on the way. */
pm_status cli_training_loop(cli_training *run, pm_error *error);

/* Writes checkpoint, model and curve. */
pm_status cli_training_save(cli_training *run, pm_error *error);

/* Draws a sheet of samples with the model as it is. What goes wrong with it is said and does not end the run,
 * unless the device is lost. */
pm_status cli_training_samples(cli_training *run, pm_error *error);

/* Frees what the run itself has: not device and trainer. */
pm_status cli_training_end(cli_training *run, pm_error *error);

#endif
