/* Start-up code: the vectors that a Cortex-M reads, and what runs after a reset. No interrupt is enabled, so that the
   table ends behind the hard fault. Nothing is copied or cleared: the net has no variables with initial values. */
int net_run(void);
extern char stack_top[];

__attribute__((noreturn, noinline)) void halt(void)
{
    for (;;)
        ;
}

__attribute__((noreturn)) void reset(void)
{
    net_run(); /* your program fills net_input before each call, and takes the class that it returns */
    halt();
}

__attribute__((section(".vectors"), used)) const void *const vectors[] = {stack_top, reset, halt, halt};
