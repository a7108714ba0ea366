"""Judges every file NAME.FORMAT of a folder by the format's own schema or validator, or, where none can be had, by the
rules that its readers are known to have. Prints how many of each format were judged; ends with 1 if one is wrong.

validate.py FOLDER SCHEMA-OF-OUR-JSON SCHEMA-OF-SARIF"""
import collections
import csv
import json
import pathlib
import re
import sys
import urllib.parse

import html5lib
import jsonschema
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from junitparser import Error, Failure, JUnitXml, Skipped
from lib4vex.parser import VEXParser
from markdown_it import MarkdownIt
from packageurl import PackageURL
from spdx_python_model import v3_0_1 as spdx3
from spdx_tools.spdx.parser.json import json_parser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
LINK = re.compile(r"(https?|ftp)://.+")


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(part)[:300] for part in what))


def has(value, types):
    """The value has each field, of its type. None is never a list or a text."""
    for name, kind in types.items():
        check(name in value, "no", name, "in", list(value))
        check(isinstance(value[name], kind) and not (kind is int and value[name] is True), name, "is", value[name])


def purl(text):
    """The purl is what the reference implementation writes of it."""
    parsed = PackageURL.from_string(text)
    written = parsed.to_string()
    if hostile:
        # It trims names and takes slashes in them for separators.
        return parsed
    check(written == text, text, "should be", written)
    return parsed


def strict(schema):
    """The same schema, with which a field that it does not name is an error."""
    if isinstance(schema, dict):
        new = {name: strict(value) for name, value in schema.items()}
        # Only objects that are no maps of data.
        if new.get("type") == "object" and "properties" in new and "allOf" not in new:
            new.setdefault("additionalProperties", False)
        return new
    return [strict(value) for value in schema] if isinstance(schema, list) else schema


def limpid_json(text):
    schema = json.loads(pathlib.Path(sys.argv[2]).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), strict(schema), cls=jsonschema.Draft202012Validator)


def sarif(text):
    schema = json.loads(pathlib.Path(sys.argv[3]).read_text(encoding="utf-8-sig"))
    document = json.loads(text)
    jsonschema.validate(document, schema, cls=jsonschema.validators.validator_for(schema))
    # What GitHub asks beyond the schema.
    check(len(document["runs"]) <= 20)
    categories = [run["automationDetails"]["id"] for run in document["runs"]]
    check(len(set(categories)) == len(categories), categories)
    for run in document["runs"]:
        rules = run["tool"]["driver"]["rules"]
        check(len({rule["id"] for rule in rules}) == len(rules), "a rule stands twice")
        for rule in rules:
            check(rule["help"]["text"] and len(rule["fullDescription"]["text"]) <= 1024, rule["id"])
            check(len(rule["shortDescription"]["text"]) <= 1024 and "security" in rule["properties"]["tags"])
            check(0 < float(rule["properties"].get("security-severity", 1)) <= 10)
        prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
        check(len(set(prints)) == len(prints), "two results have one fingerprint")
        for result in run["results"]:
            check(rules[result["ruleIndex"]]["id"] == result["ruleId"])
            place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            check(not place.startswith("/") and not urllib.parse.urlparse(place).scheme, place)


def cyclonedx(version):
    def judge(text):
        error = JsonStrictValidator(version).validate_str(text)
        check(not error, error)
        bill = json.loads(text)
        components = bill["components"]
        references = [component["bom-ref"] for component in components] + [bill["metadata"]["component"]["bom-ref"]]
        check(len(set(references)) == len(references), "a reference stands twice")
        for component in components:
            if component["type"] == "library":
                parsed = purl(component["purl"])
                # Of rpm the epoch is a qualifier; every other version is whole.
                whole = component["version"]
                if parsed.type == "rpm" and re.match(r"\d+:", whole):
                    epoch, whole = whole.split(":", 1)
                    check(parsed.qualifiers["epoch"] == epoch, component["purl"])
                check(hostile or parsed.version == (whole or None), component["purl"], whole)
        purl(bill["metadata"]["component"]["purl"])
        known = set(references)
        for dependency in bill["dependencies"]:
            check({dependency["ref"], *dependency["dependsOn"]} <= known)
        for vulnerability in bill.get("vulnerabilities", []):
            check({affected["ref"] for affected in vulnerability["affects"]} <= known)
    return judge


def spdx(text):
    document = json_parser.JsonLikeDictParser().parse(json.loads(text))
    errors = validate_full_spdx_document(document)
    check(not errors, [error.validation_message for error in errors[:3]])
    check(document.creation_info.spdx_version == "SPDX-2.3")
    for package in document.packages:
        for reference in package.external_references:
            purl(reference.locator)


def spdx_3(text):
    objects = spdx3.SHACLObjectSet()
    # Raises where a property is unknown, missing, or not of its type.
    spdx3.JSONLDDeserializer().deserialize_data(json.loads(text), objects)
    check(not objects.missing_ids, objects.missing_ids)
    packages = list(objects.foreach_type(spdx3.software_Package))
    document = list(objects.foreach_type(spdx3.SpdxDocument))
    check(packages and len(document) == 1 and len(list(objects.foreach_type(spdx3.software_Sbom))) == 1)
    for package in packages:
        if package.software_packageUrl:
            purl(package.software_packageUrl)


def openvex(text):
    document = json.loads(text)
    has(document, {"@context": str, "@id": str, "author": str, "timestamp": str, "version": int, "statements": list})
    check(document["@context"] == "https://openvex.dev/ns/v0.2.0" and TIME.match(document["timestamp"]))
    for statement in document["statements"]:
        has(statement, {"vulnerability": dict, "products": list, "status": str, "timestamp": str})
        check(statement["status"] in ("affected", "under_investigation"), statement["status"])
        check(("action_statement" in statement) == (statement["status"] == "affected"))
        allowed = {"@id", "name", "description", "aliases"}
        check(statement["vulnerability"]["name"] and set(statement["vulnerability"]) <= allowed)
        for product in statement["products"]:
            for part in [product, *product["subcomponents"]]:
                purl(part["@id"])
    if document["statements"]:
        path = pathlib.Path(sys.argv[1]) / "parsed.openvex.json"
        path.write_text(text)
        parser = VEXParser()
        parser.parse(str(path))
        path.unlink()
        check(len(parser.get_vulnerabilities()) > 0, "an independent reader finds nothing")


def junit(text):
    suites = JUnitXml.fromstring(text.encode())
    for suite in suites:
        results = [result for case in suite for result in case.result]
        counts = collections.Counter(type(result) for result in results)
        check(suite.tests == len(list(suite)) and suite.failures == counts[Failure], suite.name)
        check(suite.skipped == counts[Skipped] and suite.errors == counts[Error], suite.name)


def gitlab(text):
    # The schema's rules, 15.0.7: it is published with GitLab alone.
    report = json.loads(text)
    has(report, {"version": str, "scan": dict, "vulnerabilities": list})
    check(report["version"] == "15.0.7")
    scan = report["scan"]
    has(scan, {"analyzer": dict, "scanner": dict, "start_time": str, "end_time": str})
    for part in (scan["analyzer"], scan["scanner"]):
        check(all(part[name] for name in ("id", "name", "version")) and part["vendor"]["name"])
    for time in (scan["start_time"], scan["end_time"]):
        check(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", time), time)
    check(scan["status"] == "success" and scan["type"] == "container_scanning")
    ids = [vulnerability["id"] for vulnerability in report["vulnerabilities"]]
    check(len(set(ids)) == len(ids), "an id stands twice")
    v3 = re.compile(r"CVSS:3[.][01](/([A-Z]{1,3}):[A-Z])+$")
    v2 = re.compile(r"AV:[NAL]/AC:[LMH]/Au:[MSN]/C:[NPC]/I:[NPC]/A:[NPC]$")
    for vulnerability in report["vulnerabilities"]:
        check(len(vulnerability["name"]) <= 255 and len(vulnerability["description"]) <= 1048576)
        check(vulnerability["severity"] in ("Info", "Unknown", "Low", "Medium", "High", "Critical"))
        check(len(vulnerability["solution"]) <= 7000)
        check(1 <= len(vulnerability["identifiers"]) <= 20)
        for identifier in vulnerability["identifiers"]:
            check(identifier["type"] and identifier["name"] and identifier["value"], identifier)
            check(LINK.match(identifier.get("url", "https://x")), identifier)
        vectors = vulnerability.get("cvss_vectors")
        check(vectors is None or 1 <= len(vectors) <= 10)
        for vector in vectors or []:
            check(vector["vendor"] and (v3.match(vector["vector"]) or v2.match(vector["vector"])), vector)
        check(all(LINK.match(link["url"]) for link in vulnerability["links"]))
        location = vulnerability["location"]
        check(location["operating_system"] and location["image"])
        check(isinstance(location["dependency"]["package"]["name"], str))


def github(text):
    # The API's rules: https://docs.github.com/rest/dependency-graph/dependency-submission
    snapshot = json.loads(text)
    has(snapshot, {"version": int, "sha": str, "ref": str, "job": dict, "detector": dict, "scanned": str, "manifests": dict})
    check(re.match(r"[0-9a-f]{40}$", snapshot["sha"]) and snapshot["ref"].startswith("refs/"))
    has(snapshot["job"], {"id": str, "correlator": str})
    check(all(snapshot["detector"][name] for name in ("name", "version", "url")) and TIME.match(snapshot["scanned"]))
    for manifest in snapshot["manifests"].values():
        check(manifest["name"] and len(manifest["metadata"]) <= 8)
        for package in manifest["resolved"].values():
            purl(package["package_url"])
            check(package["relationship"] in ("direct", "indirect"))
            check(package["scope"] in ("runtime", "development"))
            check(set(package["dependencies"]) <= set(manifest["resolved"]))


def trivy(text):
    trivy_report(json.loads(text))


def trivy_report(report):
    # What DefectDojo, copa, Harbor's adapter and Jenkins take for granted.
    has(report, {"SchemaVersion": int, "ArtifactName": str, "ArtifactType": str, "Metadata": dict, "Results": list})
    check(report["SchemaVersion"] == 2 and report["ArtifactType"] == "container_image")
    metadata = report["Metadata"]
    has(metadata["ImageConfig"], {"architecture": str, "os": str, "rootfs": dict})
    for name in ("DiffIDs", "RepoTags", "RepoDigests", "Layers"):
        check(isinstance(metadata[name], list), name)
    layers = {layer["Digest"] for layer in metadata["Layers"]}
    for result in report["Results"]:
        has(result, {"Target": str, "Class": str, "Type": str, "Packages": list, "Vulnerabilities": list})
        check(result["Class"] == "os-pkgs")
        ids = {package["Identifier"]["BOMRef"] for package in result["Packages"]}
        for package in result["Packages"]:
            has(package, {"ID": str, "Name": str, "Version": str, "SrcName": str})
            purl(package["Identifier"]["PURL"])
            check(package["Layer"]["Digest"] in layers)
        for found in result["Vulnerabilities"]:
            has(found, {"VulnerabilityID": str, "PkgName": str, "InstalledVersion": str, "FixedVersion": str})
            has(found, {"Severity": str, "Status": str, "References": list, "CweIDs": list, "CVSS": dict})
            check(found["Severity"] in ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"), found["Severity"])
            check(found["Status"] in ("fixed", "affected", "will_not_fix", "fix_deferred", "end_of_life", "under_investigation"))
            check((found["Status"] == "fixed") == bool(found["FixedVersion"]), found)
            check(found["PkgIdentifier"]["BOMRef"] in ids and found["Layer"]["Digest"] in layers)
            check(all(0 <= number <= 4 for number in found["VendorSeverity"].values()))


def cosign(text):
    predicate = json.loads(text)
    has(predicate, {"invocation": dict, "scanner": dict, "metadata": dict})
    has(predicate["scanner"], {"uri": str, "version": str, "db": dict, "result": dict})
    check(all(TIME.match(predicate["metadata"][name]) for name in ("scanStartedOn", "scanFinishedOn")))
    trivy_report(predicate["scanner"]["result"])


def grype(text):
    # What DefectDojo and Jenkins take for granted.
    report = json.loads(text)
    has(report, {"matches": list, "source": dict, "distro": dict, "descriptor": dict})
    has(report["distro"], {"name": str, "version": str, "idLike": list})
    has(report["source"]["target"], {"userInput": str, "imageID": str, "tags": list, "layers": list, "repoDigests": list})
    for match in report["matches"]:
        vulnerability, artifact = match["vulnerability"], match["artifact"]
        for described in [vulnerability, *match["relatedVulnerabilities"]]:
            has(described, {"id": str, "dataSource": str, "namespace": str, "severity": str, "urls": list, "cvss": list})
            check(described["severity"] in ("Unknown", "Negligible", "Low", "Medium", "High", "Critical"))
            check(all(isinstance(cvss["metrics"]["baseScore"], (int, float)) for cvss in described["cvss"]))
        check(vulnerability["fix"]["state"] in ("fixed", "not-fixed", "wont-fix", "unknown"))
        check((vulnerability["fix"]["state"] == "fixed") == bool(vulnerability["fix"]["versions"]))
        has(artifact, {"name": str, "version": str, "type": str, "locations": list, "licenses": list, "cpes": list, "upstreams": list})
        check(artifact["locations"][0]["path"].startswith("/") and match["matchDetails"][0]["matcher"])
        purl(artifact["purl"])


def clair(text):
    # Quay's schema, what Quay reads of it, and what Conforma does.
    report = json.loads(text)
    maps = ("packages", "distributions", "repository", "environments", "vulnerabilities", "package_vulnerabilities", "enrichments")
    has(report, {"manifest_hash": str, **{name: dict for name in maps}})
    check(DIGEST.match(report["manifest_hash"]))
    for id, package in report["packages"].items():
        has(package, {"id": str, "name": str, "version": str, "kind": str, "arch": str, "source": dict})
        check(package["id"] == id and DIGEST.match(report["environments"][id][0]["introduced_in"]))
        has(report["environments"][id][0], {"package_db": str, "introduced_in": str, "distribution_id": str})
        check(report["environments"][id][0]["distribution_id"] in report["distributions"])
    nine = {"id", "did", "name", "version", "version_code_name", "version_id", "arch", "cpe", "pretty_name"}
    check(all(set(known) == nine and None not in known.values() for known in report["distributions"].values()))
    texts = ("id", "updater", "name", "description", "links", "severity", "normalized_severity", "fixed_in_version")
    for id, found in report["vulnerabilities"].items():
        has(found, {name: str for name in texts})
        check(found["id"] == id and "range" not in found)
        check(found["normalized_severity"] in ("Unknown", "Negligible", "Low", "Medium", "High", "Critical"))
        check("issued" not in found or (TIME.match(found["issued"]) and not found["issued"].startswith("0001")))
        check(all(isinstance(found[name], dict) for name in ("package", "distribution", "repository")))
    for id, ids in report["package_vulnerabilities"].items():
        check(id in report["packages"] and ids and set(ids) <= set(report["vulnerabilities"]))
    for scored in next(iter(report["enrichments"].values())):
        for id, items in scored.items():
            check(id in report["vulnerabilities"] and all(isinstance(item["baseScore"], float) for item in items))
    check(None not in report.values())


def quay(text):
    report = json.loads(text)
    check(report["status"] == "scanned")
    # As Konflux's policy counts.
    for feature in report["data"]["Layer"]["Features"]:
        has(feature, {"Name": str, "Version": str, "AddedBy": str, "Vulnerabilities": list})
        for found in feature["Vulnerabilities"]:
            has(found, {"Severity": str, "Link": str, "FixedBy": str, "Description": str, "Name": str, "Metadata": dict})


def comma_separated(text):
    rows = list(csv.reader(text.splitlines(keepends=True), strict=True))
    check(len(rows) >= 1 and {len(row) for row in rows} == {len(rows[0])}, "rows differ in length")
    check(not any(cell.lstrip("\ufffd \t").startswith(("=", "+", "-", "@")) for row in rows for cell in row), "a formula")
    check(len(text.splitlines()) == len(rows), "a row has several lines")


def markdown(text):
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or []]
    check(not [token for token in tokens + inner if "html" in token.type or token.type == "image"], "markup gets through")
    links = [token.attrs["href"] for token in inner if token.type == "link_open"]
    check(all(link.startswith("https://") for link in links), links)


def page(text):
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parse(text)
    check(len(tree.findall(".//script")) == 1, "a script gets through")
    for element in tree.iter():
        check(not [name for name in element.attrib if name.startswith("on") or name in ("style", "src")], element.attrib)
        check(element.tag not in ("img", "iframe", "object", "embed", "link", "base", "form"), element.tag)
        link = element.attrib.get("href", "#")
        check(link.startswith(("#", "https://", "http://", "ftp://")), link)


def people(text):
    check(text.strip())


FORMATS = {
    "table": people, "json": limpid_json, "tsv": people, "csv": comma_separated, "markdown": markdown, "html": page,
    "sarif": sarif, "cyclonedx": cyclonedx(SchemaVersion.V1_6), "cyclonedx-1.7": cyclonedx(SchemaVersion.V1_7),
    "spdx": spdx, "spdx-3": spdx_3, "openvex": openvex, "junit": junit, "gitlab": gitlab, "github": github,
    "cosign-vuln": cosign, "trivy": trivy, "grype": grype, "clair": clair, "quay": quay,
}

judged, wrong = collections.Counter(), []
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    name, _, kind = path.name.partition(".")
    hostile = name.startswith("attack-")
    try:
        FORMATS[kind](path.read_bytes().decode())
        judged[kind] += 1
    except Exception as error:
        wrong.append(f"{path.name}: {type(error).__name__}: {str(error)[:300]} (line {error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno})")
print("\n".join(wrong[:20]), f"and {len(wrong) - 20} more" if len(wrong) > 20 else "", file=sys.stderr)
print(json.dumps(judged))
sys.exit(bool(wrong))
