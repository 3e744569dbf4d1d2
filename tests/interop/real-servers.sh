#!/usr/bin/env bash
#
# real-servers.sh: the third-party servers and tools of the interop tests, at pinned versions.
#
#   real-servers.sh list                   every name: version, built or not, what it is for
#   real-servers.sh build NAME... | all    build into the cache; what is there already is left alone
#   real-servers.sh path NAME              print the path to run; exit 1 if it is not built
#
# Everything lands in ${TAILRING_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tailring-peers}, one folder per
# name and version: a new pin builds beside the old one, and CI keys its cache on this file's hash.
#
# Needs bash and Go >= 1.26.8 on the PATH; for dnsmasq apt-get (as root or with sudo). No C compiler, no
# container engine. The first `build all` takes about 15 minutes on two cores.

set -euo pipefail
shopt -s inherit_errexit

cache=${TAILRING_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tailring-peers}
[[ $cache == /* ]] || cache=$PWD/$cache

core=go.opentelemetry.io/collector
contrib=github.com/open-telemetry/opentelemetry-collector-contrib
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# name, version, what it is for. Debian replaces dnsmasq in place, so its version is only where it was tested.
table='
ocb                     v0.161.0  builder of collectors (makes otelcol)
otelcol                 v0.161.0  the peer: a collector with loadbalancing and tail_sampling
telemetrygen            v0.161.0  OTLP load generator
jaeger                  v1.76.0   trace backend with a query API (release 2.13.0)
coredns                 v1.15.0   DNS with zones and faults
dnsmasq                 2.90      DNS out of a folder of hosts files that may change at any time
toxiproxy               v2.5.0    TCP proxy with latency, resets and cuts
etcd                    v3.7.2    store of kube-apiserver
kube-apiserver          v1.37.2   real Kubernetes API: RBAC, EndpointSlices, watches, tokens
kube-controller-manager v1.37.2   makes EndpointSlices out of Pods
moto_server             5.2.5     AWS Cloud Map, as moto imitates it
'

die() { echo "real-servers.sh: $*" >&2; exit 1; }
names() { awk 'NF { print $1 }' <<<"$table"; }
version_of() { awk -v n="$1" '$1 == n { print $2 }' <<<"$table"; }
# What goes into otelcol is chosen here: raise this when the choice changes.
otelcol_recipe=2
path_of() {
  local recipe=
  [[ $1 != otelcol ]] || recipe=-$otelcol_recipe
  echo "$cache/$1-$(version_of "$1")$recipe/$1"
}
must_know() { [[ -n $(version_of "$1") ]] || die "unknown name '$1' (see: real-servers.sh list)"; }

# ---------------------------------------------------------------- Go

go_environment() {
  command -v go >/dev/null || die 'go is not on the PATH: install Go 1.26.8 or newer'
  # Only the first module proxy: the usual fallback ("direct") needs git and the open internet.
  GOPROXY=$(go env GOPROXY | sed 's/[,|].*//')
  export GOPROXY CGO_ENABLED=0 GOWORK=off GOFLAGS=-buildvcs=false
}

# go_module MODULE VERSION [MODULE@VERSION...]: a small local module that requires MODULE, made once; prints its
# folder. `go install` would refuse modules whose go.mod has replace lines; those that matter are given as further
# arguments. The module's own go.sum comes along, so its authors' hashes hold.
go_module() {
  local module=$1 version=$2 forced source; shift 2
  local folder="$cache/src/${module//\//_}-$version"
  if [[ ! -e $folder/go.sum ]]; then
    rm -rf "$folder"; mkdir -p "$folder"
    (
      cd "$folder"
      go mod download "$module@$version" # says why when it fails; with -json only the JSON would
      source=$(go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
      go mod init tailring.local/peer 2>/dev/null
      go mod edit -require="$module@$version"
      # Kubernetes replaces its libraries by folders that its module does not carry; published, they are v0.X.Y.
      for forced in "$@" $(sed -nE "s#^\s+(k8s\.io/[a-z-]+) => \./staging/.*#\1@v0.${version#v1.}#p" \
        "$source/go.mod" | grep -v /sample-); do go mod edit -replace="${forced%@*}=$forced"; done
      install -m 644 "$source/go.sum" go.sum
    )
  fi
  echo "$folder"
}

# go_command FOLDER PACKAGE OUTPUT [LDFLAGS]. -mod=mod resolves only what the package imports; `go mod tidy` would
# also ask for the tests' dependencies, some of which are not to be had.
go_command() {
  (cd "$1" && nice -n 10 go build -mod=mod -trimpath -ldflags "-s -w ${4:-}" -o "$3" "$2")
}

# kubernetes_version VERSION: linker flags; without them the servers call themselves v0.0.0 and refuse to work.
kubernetes_version() {
  local minor package; minor=$(cut -d. -f2 <<<"$1")
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
      $package "$1" $package $package "$minor" $package
  done
}

# ocb writes a main.go of the listed components and compiles it. (A relative output_path: ocb runs in the folder.)
build_otelcol() {
  local version=$1 output=$2 folder="$cache/src/otelcol-$1" module
  build_one ocb
  rm -rf "$folder"; mkdir -p "$folder"
  {
    echo "dist: {name: otelcol, description: peer of the tests, version: ${version#v}, output_path: ./out}"
    echo "receivers: [{gomod: $core/receiver/otlpreceiver $version}]"
    echo 'processors:'
    for module in "$core"/processor/{batchprocessor,memorylimiterprocessor} \
      "$contrib/processor/tailsamplingprocessor"; do echo "  - gomod: $module $version"; done
    echo 'exporters:'
    for module in "$core"/exporter/{otlpexporter,otlphttpexporter,debugexporter,nopexporter} \
      "$contrib"/exporter/{loadbalancingexporter,fileexporter}; do echo "  - gomod: $module $version"; done
    echo 'extensions:'
    for module in "$core/extension/zpagesextension" \
      "$contrib"/extension/{healthcheckextension,pprofextension,storage/filestorage} \
      "$contrib/extension/bearertokenauthextension"; do echo "  - gomod: $module $version"; done
    # loadbalancingexporter asks for a version of this that is not published; this one compiles.
    module=github.com/aws/aws-sdk-go-v2/service/servicediscovery
    echo "replaces: ['$module => $module v1.40.2']"
  } >"$folder/builder.yaml"
  (cd "$folder" && nice -n 10 "$(path_of ocb)" --config builder.yaml)
  install -m 755 "$folder/out/otelcol" "$output"
}

# ---------------------------------------------------------------- Python

# A server that is a Python package: pinned with hashes, in an environment of its own. An environment cannot be
# moved, so the command, linked last, is what says that it is complete.
python_command() {
  local name=$1 requirements=$2 output=$3 folder
  folder="$(dirname "$3")/venv"
  rm -rf "$folder"
  "${PYTHON:-python3}" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
  ln -sfn "$folder/bin/$name" "$output"
}

# ---------------------------------------------------------------- Debian

# A Debian package cannot be pinned for long (security updates replace it): install it system-wide, unless the
# command is there already, and link it into the cache.
debian_command() {
  local name=$1 package=$2 output=$3 sudo=()
  export PATH=$PATH:/usr/sbin
  if ! command -v "$name" >/dev/null; then
    command -v apt-get >/dev/null || die "$name is not installed and there is no apt-get: install it yourself"
    [[ $(id -u) == 0 ]] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "$package" >/dev/null
  fi
  ln -sfn "$(command -v "$name")" "$output"
}

# ---------------------------------------------------------------- verbs

# One case per name; it makes "$out", which gets its final name last: an interrupted build never looks finished.
build_one() {
  local name=$1 version final out folder started=$SECONDS
  version=$(version_of "$name"); final=$(path_of "$name"); out=$final.part
  [[ ! -e $final ]] || return 0
  echo "building $name $version ..." >&2
  rm -rf "$out"; mkdir -p "$(dirname "$final")"
  [[ $name == dnsmasq || $name == moto_server ]] || go_environment
  case $name in
    ocb)
      folder=$(go_module $core/cmd/builder "$version")
      go_command "$folder" $core/cmd/builder "$out" ;;
    otelcol)
      build_otelcol "$version" "$out" ;;
    telemetrygen)
      folder=$(go_module $contrib/cmd/telemetrygen "$version")
      go_command "$folder" $contrib/cmd/telemetrygen "$out" ;;
    jaeger) # the module's v1.76.0 is also release v2.13.0 of this command
      folder=$(go_module github.com/jaegertracing/jaeger "$version" github.com/Shopify/sarama@v1.33.0)
      go_command "$folder" github.com/jaegertracing/jaeger/cmd/jaeger "$out" \
        '-X github.com/jaegertracing/jaeger/internal/version.latestVersion=v2.13.0' ;;
    coredns)
      folder=$(go_module github.com/coredns/coredns "$version")
      go_command "$folder" github.com/coredns/coredns "$out" ;;
    toxiproxy)
      folder=$(go_module github.com/Shopify/toxiproxy/v2 "$version")
      go_command "$folder" github.com/Shopify/toxiproxy/v2/cmd/server "$out" \
        "-X github.com/Shopify/toxiproxy/v2.Version=${version#v}" ;;
    etcd) # its libraries are folders of its own repository
      folder=$(go_module go.etcd.io/etcd/server/v3 "$version" \
        go.etcd.io/etcd/{api,client,client/pkg,pkg}/v3@"$version")
      go_command "$folder" go.etcd.io/etcd/server/v3 "$out" ;;
    kube-apiserver|kube-controller-manager)
      folder=$(go_module k8s.io/kubernetes "$version")
      go_command "$folder" "k8s.io/kubernetes/cmd/$name" "$out" "$(kubernetes_version "$version")" ;;
    moto_server)
      python_command moto_server "$here/../../requirements/servers.txt" "$out" ;;
    dnsmasq)
      debian_command dnsmasq dnsmasq-base "$out" ;;
  esac
  mv -T "$out" "$final"
  echo "built $name $version in $((SECONDS - started)) s" >&2
}

build() {
  local name missing=()
  [[ $# -gt 0 ]] || die 'build what? (see: real-servers.sh list)'
  # shellcheck disable=SC2046  # names have no blanks
  [[ $1 != all ]] || set -- $(names)
  for name in "$@"; do
    must_know "$name"
    [[ -e $(path_of "$name") ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0 # the usual case takes no lock
  mkdir -p "$cache"
  exec 9>"$cache/lock"; flock 9 # several test workers may ask at the same time
  for name in "${missing[@]}"; do build_one "$name"; done
}

list() {
  local name version about built
  while read -r name version about; do
    [[ -n $name ]] || continue
    [[ -e $(path_of "$name") ]] && built=yes || built=no
    printf '%-23s %-9s built: %-4s %s\n' "$name" "$version" "$built" "$about"
  done <<<"$table"
}

case ${1:-} in
  list) list ;;
  build) shift; build "$@" ;;
  path)
    [[ $# == 2 ]] || die 'path of what? (see: real-servers.sh list)'
    must_know "$2"
    [[ -e $(path_of "$2") ]] || die "$2 is not built (run: tests/interop/real-servers.sh build $2)"
    path_of "$2" ;;
  *)
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
