/* lookup_error: owns the words. */
#include "server/lookup_error.h"

const struct lookup_failure *lookup_failure_find(enum lookup_error error)
{
    static const struct lookup_failure failures[LOOKUP_ERRORS] = {
        [LOOKUP_NO_ADDRESSES] =
            {"NoAddresses", "the name of the endpoint exists, but has no IPv4 or IPv6 address; "
                            "it is tried again"},
        [LOOKUP_NO_ANSWER] = {"NameServersFailed",
                              "no name server answered in time, or all of them failed; check "
                              "/etc/resolv.conf and the way to them; it is tried again"},
        [LOOKUP_REFUSED] = {"LookupRefused",
                            "the name servers refuse to look up the name of the endpoint; check "
                            "/etc/resolv.conf; it is tried again"},
        [LOOKUP_BAD_ANSWER] = {"BadAnswer", "the name servers answered what cannot be understood; "
                                            "check /etc/resolv.conf; it is tried again"},
        [LOOKUP_TRUNCATED] = {"AnswerTooLong",
                              "the name of the endpoint has more addresses than fit into a "
                              "datagram of 512 bytes; give one with fewer; it is tried again"},
        [LOOKUP_NOT_FOUND] = {"NameNotFound", "the name of the endpoint does not exist; check it "
                                              "and the search domains; it is tried again"},
        [LOOKUP_NOT_ASKED] = {"LookupNotAsked",
                              "the name servers could not be asked: memory ran out, or the name "
                              "with its search domain is too long; it is tried again"},
        [LOOKUP_OTHER_FAMILY] = {"FamilyNotAvailable",
                                 "the tunnel has no socket of the endpoint's address family; check "
                                 "listen_address, and whether this host has IPv6"},
        [LOOKUP_NO_SERVER] = {"NoNameServer",
                              "/etc/resolv.conf names no name server, and none on this host "
                              "answered; it is tried again"},
        [LOOKUP_NO_INTERFACE] =
            {"NoInterface", "the endpoint is an address of one link, and there is no interface "
                            "of the name behind its %; it is tried again"},
    };
    return &failures[error];
}
