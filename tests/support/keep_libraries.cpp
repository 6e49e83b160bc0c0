// Linked into the program under sanitizers only: libraries stay until the process ends. OpenMPI closes its components
// in MPI_Finalize, and what they leak would then be reported as of nobody, which no suppression can name;
// ThreadSanitizer ends a process that closes a library it has been told about.
extern "C" int dlclose(void*) { return 0; }
