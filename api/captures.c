/*
 * captures: /v1/tunnels/{name}/capture, the inner packets of a tunnel as a capture file.
 */
#include "api/capture_stream.h"
#include "api/handlers.h"

int api_get_capture(struct api_call *call)
{
    const struct capture_stream_request request = {
        .tunnel = call->name,
        .seconds = call->query.seconds,
        .max_bytes = call->query.max_bytes,
        .tokens = call->tokens,
        .lease = &call->lease,
    };
    if (capture_stream_new(call->server->capture_streams, &request, &call->answer.capture,
                           &call->problem) < 0)
        return -1;
    call->answer.status = 200;
    call->answer.content_type = "application/vnd.tcpdump.pcap";
    return 0;
}
