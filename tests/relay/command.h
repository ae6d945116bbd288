/*
 * command: steers a relay by lines of text, while it runs.
 *
 *   set DIRECTION KEY=VALUE...   up, down or both; the keys are those of struct path_settings with
 *                                delay and jitter in ms, probabilities in percent, rate in Mbit/s,
 *                                queue in kB
 *   counters                     NAME=NUMBER..., as "up.lost=3"
 *   flows                        CLIENT=OUTSIDE..., the addresses of each
 *   captured DIRECTION KIND      what capture.h keeps of a kind, in hexadecimal, oldest first
 *   inject DIRECTION HEX [FROM]  relay_inject(); FROM as "192.0.2.1:80", the port 0 for any
 *   rebind [ADDRESS]             relay_rebind()
 *
 * Every command is answered by one line: "ok" with what was asked for, or "error" and why.
 */
#ifndef MANYTUN_TESTS_RELAY_COMMAND_H
#define MANYTUN_TESTS_RELAY_COMMAND_H

#include <stdio.h>

struct relay;

/* Executes one line, which is changed meanwhile, and writes the answer. */
void command_execute(struct relay *relay, char *line, FILE *out);

#endif
