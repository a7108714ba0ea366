"""What the samples of rpm distributions' feeds say, read apart from Limpid, compared by rpm's own library.

known_rpm.py MIRROR prints, as one JSON object, for each release: the packages of an image (name, version), each in a
version just below, at and just above every fix; and the findings that are right for them ("id name version state
fixed"), with the ids that the feed speaks of.
"""
import bz2, collections, functools, glob, gzip, json, re, sys
import xml.etree.ElementTree as ElementTree
from rpm import labelCompare

mirror = sys.argv[1]
# By release, package and vulnerability.
fixes = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(set)))
open_states = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(set)))


def split(evr):
    epoch, _, rest = evr.rpartition(':')
    version, _, release = rest.rpartition('-')
    return epoch or '0', version, release


def compare(a, b):
    return labelCompare(split(a), split(b))


def evr(epoch, version, release):
    return f'{version}-{release}' if epoch in (None, '', '0') else f'{epoch}:{version}-{release}'


def updateinfo(release, pattern):
    for path in glob.glob(mirror + pattern):
        for update in ElementTree.fromstring(gzip.open(path).read()).iter('update'):
            ids = {reference.get('id') for reference in update.iter('reference') if reference.get('type') == 'cve'}
            for package in update.iter('package') if update.get('type') == 'security' else ():
                for id in ids:
                    fix = evr(package.get('epoch'), package.get('version'), package.get('release'))
                    fixes[release][package.get('name')][id].add(fix)


def oracle():
    text = bz2.open(mirror + '/linux.oracle.com/security/oval/com.oracle.elsa-all.xml.bz2').read().decode()
    for definition in re.findall(r'<definition .*?</definition>', text, re.S):
        ids = set(re.findall(r'ref_id="(CVE-[0-9-]+)"', definition))
        # Whatever follows a release and an architecture, up to the next, is of those.
        for part in re.split(r'comment="Oracle Linux (?=\d+ is installed)', definition)[1:]:
            release = 'ol:' + re.match(r'\d+', part)[0]
            for of_arch in re.split(r'comment="Oracle Linux arch is ', part)[1:]:
                for name, fix in re.findall(r'comment="(\S+) is earlier than (\S+)"', of_arch):
                    for id in ids if of_arch.startswith('x86_64') else ():
                        fixes[release][name][id].add(evr(*split(fix)))


def redhat():
    states = {'Out of support scope': 'end-of-life', 'Fix deferred': 'deferred', 'Will not fix': 'will-not-fix'}
    for path in glob.glob(mirror + '/security.access.redhat.com/data/csaf/v2/vex-feed/*/*.json'):
        document = json.load(open(path))
        said, helpers, pending = document['vulnerabilities'][0], {}, list(document['product_tree']['branches'])
        for branch in pending:
            pending.extend(branch.get('branches', []))
            if 'product' in branch:
                product = branch['product']
                helpers[product['product_id']] = product.get('product_identification_helper', {})
        for relation in document['product_tree'].get('relationships', []):
            product, component = relation['full_product_name']['product_id'], relation['product_reference']
            cpe = helpers[relation['relates_to_product_reference']].get('cpe', '')
            # The release itself, and its extended life-cycle support; other support streams are bought apart.
            main = re.search(r'redhat:(?:enterprise_linux|rhel_els):(\d+)(?:[.:]|$)', cpe)
            purl = re.match(r'pkg:rpm/redhat/([^@?]+)', helpers[component].get('purl', f'pkg:rpm/redhat/{component}'))
            if not main or not purl or '.module' in product or '::' in component:
                continue
            release, id, name = 'rhel:' + main[1], said['cve'], purl[1]
            if product in said['product_status'].get('fixed', []):
                build = re.match(re.escape(name) + r'-(\d+):(\S+)-(\S+)\.(x86_64|noarch)$', component)
                if build:
                    fixes[release][name][id].add(evr(*build.groups()[:3]))
            elif product in said['product_status'].get('known_affected', []):
                told = [
                    remedy for remedy in said.get('remediations', [])
                    if product in remedy.get('product_ids', []) and remedy['category'] in ('no_fix_planned', 'none_available')
                ]
                of = lambda remedy: states.get(remedy['details'], 'will-not-fix' if remedy['category'] == 'no_fix_planned' else 'no-fix')
                open_states[release][name][id].add(of(told[0]) if told else 'no-fix')


def minor(version):
    build = re.search(r'\.el\d+_(\d+)', version)
    return int(build[1]) if build else 0


updateinfo('rocky:9', '/dl.rockylinux.org/pub/rocky/9/*/x86_64/os/repodata/*updateinfo.xml.gz')
updateinfo('amzn:2', '/cdn.amazonlinux.com/2/core/2.0/x86_64/sample/repodata/updateinfo.xml.gz')
updateinfo('amzn:2022', '/cdn.amazonlinux.com/al2022/core/guids/sample/x86_64/repodata/updateinfo.xml.gz')
updateinfo('amzn:2023', '/cdn.amazonlinux.com/al2023/core/guids/sample/x86_64/repodata/updateinfo.xml.gz')
oracle()
redhat()
RANK = ['will-not-fix', 'deferred', 'no-fix', 'end-of-life']
result = {}
for release in sorted({*fixes, *open_states}):
    image, right, ids = [], [], set()
    for name in sorted({*fixes[release], *open_states[release]}):
        named = {fix for of_id in fixes[release][name].values() for fix in of_id}
        versions = {version for fix in named for version in (fix + '~', fix, fix + '.1')} or {'0.1-1'}
        for version in sorted(versions):
            image.append([name, version])
            for id in {*fixes[release][name], *open_states[release][name]}:
                ids.add(id)
                known = fixes[release][name][id]
                if release.startswith('rhel') and known:
                    # Builds of each minor release: the package's own, else the next one's, else the last.
                    later = [minor(fix) for fix in known if minor(fix) >= minor(version)]
                    chosen = min(later) if later else max(minor(fix) for fix in known)
                    known = {fix for fix in known if minor(fix) == chosen}
                unfixed = [fix for fix in known if compare(version, fix) < 0]
                if unfixed:
                    last = max(unfixed, key=functools.cmp_to_key(compare))
                    right.append(f'{id} {name} {version} fixable {last}')
                elif not known:
                    state = min(open_states[release][name][id], key=RANK.index)
                    right.append(f'{id} {name} {version} {state} ')
    result[release] = {'image': image, 'right': right, 'ids': sorted(ids)}
print(json.dumps(result))
