"""What a feed says of the packages of a dpkg status file, read apart from Limpid.

binary_versions.py STATUS FEED RELEASE prints, as JSON, the findings by the version of each package's source, and
those that the version of the package itself would give: [id, package, state, fixed version, channel] of each.
"""
import collections, functools, json, re, sys, tarfile
import apt_pkg

apt_pkg.init_system()
status, feed, release = sys.argv[1:]
# By source package, vulnerability and channel: state and fixed version.
said = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
if release.startswith('debian'):
    reasons = {'ignored': 'will-not-fix', 'postponed': 'deferred'}
    for name, entries in json.load(open(feed)).items():
        for id, entry in entries.items():
            word = entry['releases'].get('bookworm', {'status': 'resolved', 'fixed_version': '0'})
            fixed = word.get('fixed_version', '0')
            if fixed != '0':
                said[name][id][''].append(('fixable', fixed))
            elif word['status'] == 'open':
                is_over = word.get('urgency') == 'end-of-life'
                state = 'end-of-life' if is_over else reasons.get(word.get('nodsa_reason'), 'no-fix')
                said[name][id][''].append((state, ''))
            elif word['status'] == 'undetermined':
                said[name][id][''].append(('unknown', ''))
else:
    states = {'needs-triage': 'unknown', 'deferred': 'deferred', 'ignored': 'will-not-fix'}
    archive = tarfile.open(feed)
    for member in archive:
        id = re.search(r'UBUNTU-(CVE-[0-9-]+)\.json$', member.name)
        for entry in json.load(archive.extractfile(member))['affected'] if id else []:
            words = entry['package']['ecosystem'].split(':')
            if release[7:] not in words:
                continue
            pocket = re.search('distro=(esm-[a-z]+)/', entry['package']['purl'])
            channel = (pocket[1] if pocket else 'esm') if 'Pro' in words else ''
            fixed = [event['fixed'] for range in entry['ranges'] for event in range['events'] if 'fixed' in event]
            state = states.get(entry['ecosystem_specific'].get('uct_status'), 'no-fix')
            said[entry['package']['name']][id[1]][channel].append(('fixable', fixed[0]) if fixed else (state, ''))

SETTLES = ['fixed', 'fixable', 'will-not-fix', 'deferred', 'no-fix', 'end-of-life', 'unknown']
by_source, by_binary = [], []
for stanza in open(status).read().strip().split('\n\n'):
    field = dict(line.split(': ', 1) for line in stanza.split('\n'))
    # Policy 7.8: a signed kernel names the source of what it holds, which a metapackage does not hold.
    if field.get('Source', '').startswith('linux-signed') and '(meta-package)' not in field['Description']:
        field['Source'] = field['Built-Using'].replace('= ', '')
    # Policy 5.6.1: the version stands in parentheses where it is not the package's own.
    source = re.fullmatch(r'(\S+)(?: \((\S+)\))?', field.get('Source', field['Package']))
    for found, version in ((by_source, source[2] or field['Version']), (by_binary, field['Version'])):
        for id, channels in said.get(source[1], {}).items():
            verdicts = []
            for channel, words in channels.items():
                for state, fixed in words:
                    is_fixed = fixed and apt_pkg.version_compare(version, fixed) >= 0
                    verdicts.append(('fixed' if is_fixed else state, fixed, channel))
            state, fixed, channel = min(verdicts, key=lambda verdict: (SETTLES.index(verdict[0]), verdict[2]))
            if state != 'fixed':
                found.append([id, field['Package'], state, fixed, channel])
print(json.dumps({'by_source': by_source, 'by_binary': by_binary}))
