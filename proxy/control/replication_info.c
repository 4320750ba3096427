#include "proxy/control/replication_info.h"

#include <stdio.h>

#include "lib/base/number.h"
#include "proxy/control/info_text.h"

const char replication_question[] = "*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n";

/* "ip=10.0.0.7,port=6379,state=online,offset=14,lag=0" */
static bool read_replica(struct slice line, struct address *address)
{
    struct slice host = info_text_after(line, "ip=", ",");
    uint64_t port = info_number_after(line, ",port=");
    bool is_whole = slice_equal(info_text_after(line, ",state=", ","), SLICE("online"));
    if (!is_whole || host.len == 0 || host.len > ADDRESS_HOST_MAX || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    memcpy(address->host, host.data, host.len);
    address->host[host.len] = '\0';
    address->port = (uint16_t)port;
    return true;
}

static void read_replicas(struct slice reply, struct replication_info *info)
{
    uint64_t connected = info_number_after(reply, "\nconnected_slaves:");
    for (unsigned i = 0; i < connected && info->nreplicas < REPLICAS_MAX; i++) {
        char label[24];
        (void)snprintf(label, sizeof(label), "\nslave%u:", i);
        struct slice line = info_text_after(reply, label, "\r");
        if (line.len == 0) {
            break;
        }
        info->nreplicas += read_replica(line, &info->replicas[info->nreplicas]) ? 1 : 0;
    }
}

void replication_info_read(struct slice reply, struct replication_info *info)
{
    struct slice replid = info_text_after(reply, "\nmaster_replid:", "\r");
    *info = (struct replication_info){.nreplicas = 0};
    info->is_primary = slice_equal(info_text_after(reply, "\nrole:", "\r"), SLICE("master"));
    (void)snprintf(info->replid, sizeof(info->replid), "%.*s", (int)replid.len, replid.data);
    info->offset = info_number_after(reply, info->is_primary ? "\nmaster_repl_offset:"
                                                             : "\nslave_repl_offset:");
    info->is_following =
        slice_equal(info_text_after(reply, "\nmaster_link_status:", "\r"), SLICE("up")) &&
        slice_equal(info_text_after(reply, "\nmaster_sync_in_progress:", "\r"), SLICE("0"));
    if (info->is_primary) {
        read_replicas(reply, info);
    }
}
