/* Users as text: as ACL LIST and ACL GETUSER show them, and so that they can be read again. */
#include "lib/acl/acl_internal.h"
#include "lib/base/assert.h"

static const struct acl_selector *selector_at(const struct acl_user *user, unsigned index)
{
    ASSERT(index < user->nselectors);
    return &user->selectors[index];
}

static void add_slice(struct buffer *text, struct slice slice)
{
    buffer_add(text, slice.data, slice.len);
}

void acl_describe_commands(const struct acl_user *user, unsigned selector, struct buffer *text)
{
    const struct acl_selector *of = selector_at(user, selector);
    for (unsigned i = 0; i < of->nrules; i++) {
        buffer_add_text(text, i > 0 ? " " : "");
        add_slice(text, of->rules[i]);
    }
}

static const char *prefix_of_key(const struct acl_pattern *pattern)
{
    return pattern->reads && pattern->writes ? "~" : pattern->reads ? "%R~" : "%W~";
}

void acl_describe_keys(const struct acl_user *user, unsigned selector, struct buffer *text)
{
    const struct acl_patterns *keys = &selector_at(user, selector)->keys;
    buffer_add_text(text, keys->is_all ? "~*" : "");
    for (unsigned i = 0; i < keys->count && !keys->is_all; i++) {
        buffer_add_text(text, i > 0 ? " " : "");
        buffer_add_text(text, prefix_of_key(&keys->items[i]));
        add_slice(text, keys->items[i].text);
    }
}

void acl_describe_channels(const struct acl_user *user, unsigned selector, struct buffer *text)
{
    const struct acl_patterns *channels = &selector_at(user, selector)->channels;
    buffer_add_text(text, channels->is_all ? "&*" : "");
    for (unsigned i = 0; i < channels->count && !channels->is_all; i++) {
        buffer_add_text(text, i > 0 ? " &" : "&");
        add_slice(text, channels->items[i].text);
    }
}

static void describe_selector(const struct acl_user *user, unsigned index, struct buffer *line)
{
    const struct acl_selector *selector = selector_at(user, index);
    size_t before = buffer_length(line);
    acl_describe_keys(user, index, line);
    buffer_add_text(line, buffer_length(line) > before ? " " : "");
    buffer_add_text(line, selector->channels.is_all ? "" : "resetchannels ");
    before = buffer_length(line);
    acl_describe_channels(user, index, line);
    buffer_add_text(line, buffer_length(line) > before ? " " : "");
    acl_describe_commands(user, index, line);
}

void acl_describe_user(const struct acl_user *user, struct buffer *line)
{
    buffer_printf(line, "user %s %s", user->name, user->is_on ? "on" : "off");
    buffer_add_text(line, user->needs_no_password ? " nopass" : "");
    for (unsigned i = 0; i < user->npasswords; i++) {
        buffer_add_text(line, " #");
        add_slice(line, acl_user_password(user, i));
    }
    buffer_add_text(line, " ");
    describe_selector(user, 0, line);
    for (unsigned i = 1; i < user->nselectors; i++) {
        buffer_add_text(line, " (");
        describe_selector(user, i, line);
        buffer_add_text(line, ")");
    }
}
