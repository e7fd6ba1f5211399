/* Start-up code: what runs after a reset. No interrupt is enabled. Nothing is copied or cleared: the net has no variables
   with initial values. */
int net_run(void);

__asm__(".section .vectors,\"ax\"\n"
        ".globl reset\n"
        "reset:\n"
        "    la sp, stack_top\n"
        "    j start\n");

__attribute__((noreturn, noinline)) void halt(void)
{
    for (;;)
        ;
}

__attribute__((noreturn, used)) void start(void)
{
    net_run(); /* your program fills net_input before each call, and takes the class that it returns */
    halt();
}
