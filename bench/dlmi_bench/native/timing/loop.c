typedef void net(int n, const float *input, float *output, float *scratch);

/* Time [ns] of n_turns passes over n_ring inputs, n_at_once of them a call. */
long long time_ring(net *run, int n_turns, int n_ring, int n_at_once, int n_input, int n_output, const float *inputs,
                    float *outputs, float *scratch)
{
    const long long start = now_ns();
    for (int turn = 0; turn < n_turns; turn++)
        for (int i = 0; i < n_ring; i += n_at_once)
            run(n_at_once, inputs + (long)i * n_input, outputs + (long)i * n_output, scratch);
    return now_ns() - start;
}
