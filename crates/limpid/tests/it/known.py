"""What the distributions' own files say of known vulnerabilities, read apart from Limpid.

known.py MIRROR prints, as one JSON object, for each release: the packages of an image (binary name, version, source
name), each source package in a version just below, at and just above every fix that the files name; and the
findings that are right for them (id, binary name, version, state, fixed version, channel). `APK_ORDER` stands
before it: it has `less`, apk's order of versions.
"""
import collections, functools, glob, json, re, sys, tarfile
import apt_pkg

apt_pkg.init_system()
mirror = sys.argv[1]
KNOWN = set('''
CVE-2015-0235 CVE-2014-0160 CVE-2014-6271 CVE-2021-44228 CVE-2023-4911 CVE-2024-3094 CVE-2024-6387
CVE-2008-0166 CVE-2012-2337 CVE-2013-0169 CVE-2013-4235 CVE-2014-3566 CVE-2015-7547 CVE-2016-2183 CVE-2016-2781
CVE-2016-5195 CVE-2017-1000366 CVE-2017-9798 CVE-2017-11164 CVE-2018-25032 CVE-2018-1000001 CVE-2019-8457
CVE-2019-11043 CVE-2019-14287 CVE-2020-1967 CVE-2021-3156 CVE-2021-4034 CVE-2022-0778 CVE-2022-3219
CVE-2022-37434 CVE-2022-48174 CVE-2023-5678 CVE-2023-38545 CVE-2023-44487 CVE-2024-2961 CVE-2024-45490
CVE-2025-4802 CVE-2025-32463'''.split())
nested = lambda depth: collections.defaultdict((lambda: nested(depth - 1)) if depth else list)
# By release, source package, vulnerability and channel: (state, fixed version).
said = nested(3)


def tracker():
    code_names = {'bullseye': '11', 'bookworm': '12', 'trixie': '13', 'forky': '14', 'sid': 'sid'}
    for package, entries in json.load(open(mirror + '/security-tracker.debian.org/tracker/data/json')).items():
        for id in KNOWN & entries.keys():
            for code_name, word in entries[id]['releases'].items():
                status, fixed = word['status'], word.get('fixed_version', '')
                if status == 'resolved' and fixed == '0':
                    state = 'never'
                elif fixed not in ('', '0'):
                    state = 'fixed'
                elif status != 'open':
                    state = 'unknown'
                elif word.get('urgency') == 'end-of-life':
                    state = 'end-of-life'
                else:
                    state = {'ignored': 'will-not-fix', 'postponed': 'deferred'}.get(word.get('nodsa_reason'), 'no-fix')
                said['debian:' + code_names[code_name]][package][id][''].append((state, fixed))


def notices():
    code_names = {'wheezy': '7', 'jessie': '8', 'stretch': '9', 'buster': '10'}
    lists = mirror + '/salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data/'
    words = {'<end-of-life>': 'end-of-life', '<not-affected>': 'never', '<unfixed>': 'no-fix'}
    for path, channel in (('DSA/list', ''), ('DLA/list', 'lts')):
        for notice in re.split(r'(?m)^(?=\[)', open(lists + path, encoding='utf-8').read()):
            ids = KNOWN & set(re.findall(r'CVE-[0-9]+-[0-9]+', ' '.join(re.findall(r'(?m)^\s+\{(.*)\}', notice))))
            for code_name, package, word in re.findall(r'(?m)^\s+\[(\w+)\] - (\S+)\s+(\S+)', notice):
                for id in ids if code_name in code_names else ():
                    words_of = said['debian:' + code_names[code_name]][package][id][channel]
                    words_of.append((words[word], '') if word[0] == '<' else ('fixed', word))
    archive = tarfile.open(mirror + '/codeload.github.com/captn3m0/debian-elts-advisories/tar.gz/refs/heads/main')
    for member in archive:
        record = json.load(archive.extractfile(member)) if member.name.endswith('.json') else {'affected': []}
        for entry in record['affected']:
            package, ranges = entry['package'], entry['ranges']
            fixed = (ranges if isinstance(ranges, list) else [ranges])[0]['events'][1]['fixed']
            # A row that its own purl contradicts is another package's; a version that was cut is none.
            if '/' + package['name'] + '?' in package['purl'] and package['ecosystem'][7:] in code_names.values():
                for id in KNOWN & set(record['related']):
                    word = ('fixed', fixed) if fixed[-1].isalnum() else ('unknown', '')
                    said[package['ecosystem'].lower()][package['name']][id]['elts'].append(word)


def ubuntu():
    archive = tarfile.open(mirror + '/security-metadata.canonical.com/osv/osv-all.tar.xz')
    states = {'needs-triage': 'unknown', 'deferred': 'deferred', 'ignored': 'will-not-fix'}
    for member in archive:
        id = re.search(r'UBUNTU-(CVE-[0-9-]+)\.json$', member.name)
        if not id or id[1] not in KNOWN:
            continue
        for entry in json.load(archive.extractfile(member))['affected']:
            package = entry['package']
            release = re.fullmatch(r'Ubuntu:(Pro:)?(\d\d\.\d\d)(:LTS)?', package['ecosystem'])
            pocket = re.search('distro=(esm-[a-z]+)/', package['purl'])
            channel = (pocket[1] if pocket else 'esm') if release[1] else ''
            for events in (range['events'] for range in entry['ranges']):
                fixed = [event['fixed'] for event in events if 'fixed' in event]
                state = states.get(entry['ecosystem_specific']['uct_status'], 'no-fix')
                word = ('fixed', fixed[0]) if fixed else (state, '')
                said['ubuntu:' + release[2]][package['name']][id[1]][channel].append(word)


def alpine():
    for path in glob.glob(mirror + '/secdb.alpinelinux.org/*/*.json'):
        release = 'alpine:' + path.split('/')[-2].lstrip('v')
        for package in (entry['pkg'] for entry in json.load(open(path))['packages']):
            for version, texts in (package['secfixes'] or {}).items():
                for id in KNOWN & set(re.findall(r'CVE-\d+-\d+', ' '.join(texts or []))):
                    word = ('never', '') if version == '0' else ('fixed', version)
                    said[release][package['name']][id][''].append(word)


def around_apk(version):
    upstream, revision = version.rsplit('-r', 1)
    below = f'{upstream}-r{int(revision) - 1}' if int(revision) else f'{upstream}_alpha-r9'
    return [below, version, f'{upstream}-r{int(revision) + 1}']


AFFECTED = ['fixable', 'will-not-fix', 'deferred', 'no-fix', 'end-of-life', 'unknown', 'fixed', 'never']
SETTLES = ['fixed', 'fixable', 'never', 'will-not-fix', 'deferred', 'no-fix', 'end-of-life', 'unknown']


def judge(installed, channels, compare):
    """In one channel the last fix counts; a fix of any channel is one; the release's own channel is named first."""
    verdicts = []
    for channel, words in channels.items():
        fixes = [fixed for state, fixed in words if state == 'fixed' and compare(installed, fixed) < 0]
        states = ['fixable'] if fixes else sorted((state for state, _ in words), key=AFFECTED.index)
        last = max(fixes, key=functools.cmp_to_key(compare)) if fixes else ''
        verdicts.append((states[0], last, channel))
    return min(verdicts, key=lambda verdict: (SETTLES.index(verdict[0]), ['', 'lts'].index(verdict[2]) if verdict[2] in ('', 'lts') else 2))


for read in (tracker, notices, ubuntu, alpine):
    read()
result = {}
for release, packages in said.items():
    is_apk = release.startswith('alpine')
    compare = (lambda a, b: less(b, a) - less(a, b)) if is_apk else apt_pkg.version_compare
    around = around_apk if is_apk else lambda fixed: [fixed + '~', fixed, fixed + '+x']
    image, right = [], []
    for package, ids in packages.items():
        fixes = {fixed for channels in ids.values() for words in channels.values() for state, fixed in words if state == 'fixed'}
        versions = {version for fixed in fixes for version in around(fixed)} or {'1.0-r0' if is_apk else '1.0-1'}
        for place, version in enumerate(sorted(versions)):
            name = f'{package}-in-version-{place}'
            image.append([name, version, package])
            for id, channels in ids.items():
                state, fixed, channel = judge(version, channels, compare)
                if state not in ('fixed', 'never'):
                    right.append([id, name, version, state, fixed, channel])
    result[release] = {'image': image, 'right': right}
print(json.dumps({'known': sorted(KNOWN), 'releases': result}))
