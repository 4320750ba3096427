/* The commands of the differential test, by group; see command.c. */
#ifndef TESTS_SUPPORT_DIFFERENTIAL_TEMPLATES_H
#define TESTS_SUPPORT_DIFFERENTIAL_TEMPLATES_H

#include <stddef.h>

/* Words are literal but for
 *   %k a key   %K another key with the same tag   %v a value   %m a member or field of few
 *   %n a small number   %f a fraction   %t a time far away in ms   %i a stream id
 *   %d a payload of DUMP   %e the empty string   %s1 %s2 ... a script   %h1 %h2 ... its SHA-1
 *   %l a library of functions
 * Marks before the command's name:
 *   * its elements have no order          ~ its integers tell the time
 *   ? only the type of its reply counts   ^ tells the layout in memory, or counts all keys, or
 *                                           must not meet a change of its slot
 *   ! not inside MULTI                    - rarely: it takes its time
 *   = no argument too many or too few: it would mean another thing */
extern const char *const differential_templates[];
extern const size_t differential_template_count;
/* %s1 is the first of these. */
extern const char *const differential_scripts[];
extern const size_t differential_script_count;
extern const char differential_library[];

#endif
