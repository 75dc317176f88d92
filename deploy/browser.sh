#!/bin/sh
# The browser of the tests that open a page: Debian's chromium, where there is none and this is root on a system with
# apt-get. Anywhere else one line says how to have those tests. It never fails: without a browser they are skipped.
for name in "${CHROMIUM:-chromium}" chromium chromium-browser google-chrome; do
    command -v "$name" > /dev/null 2>&1 && exit 0
done
left_out() {
    echo "No Chromium: $1, so tests that open pages are left out. Install chromium, or name one in the variable CHROMIUM"
    exit 0
}
[ "$(id -u)" = 0 ] || left_out "this is not root"
command -v apt-get > /dev/null 2>&1 || left_out "there is no apt-get"
echo "Installing Debian's chromium, for the tests that open pages: about a minute, once"
export DEBIAN_FRONTEND=noninteractive
# Without a font pages have no text.
install() {
    timeout 240 apt-get install -qq --yes --no-install-recommends -o Dpkg::Use-Pty=0 chromium fonts-dejavu-core \
        > /dev/null 2>&1
}
# Without lists of packages, or with old ones, the first attempt ends at once.
install || { timeout 60 apt-get update -qq > /dev/null 2>&1; install; } || left_out "apt-get did not install it"
exit 0
