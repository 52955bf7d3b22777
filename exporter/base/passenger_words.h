// SPDX-License-Identifier: Apache-2.0
// What lets others than root ask Passenger, as commands: said by its collector and by discovery.
#pragma once

#include <string_view>

namespace lagwatch {

// Instances where everybody may look for them, instead of in a unit's private /tmp.
inline constexpr std::string_view kPassengerRegistryFix =
    "as root: echo 'd /run/passenger-instreg 0755 root root' > "
    "/etc/tmpfiles.d/passenger-instreg.conf; systemd-tmpfiles --create; echo "
    "'PassengerInstanceRegistryDir /run/passenger-instreg' > "
    "/etc/apache2/conf-available/passenger-instreg.conf; a2enconf passenger-instreg; systemctl "
    "restart apache2";

// A read-only account, which stays the same over reloads.
inline constexpr std::string_view kPassengerAccountFix =
    "as root: (umask 077; openssl rand -hex 12 > /etc/passenger-lagwatch.pw); install -D -o "
    "lagwatch -m 400 /etc/passenger-lagwatch.pw /etc/lagwatch/secrets/passenger; echo "
    "'PassengerCtl "
    "core_api_server_authorizations [\"readonly:lagwatch:/etc/passenger-lagwatch.pw\"]' > "
    "/etc/apache2/conf-available/passenger-lagwatch.conf; a2enconf passenger-lagwatch; systemctl "
    "reload apache2; in lagwatch.yml: username: lagwatch, password_file: "
    "/etc/lagwatch/secrets/passenger";

}  // namespace lagwatch
