"""``espnet3 bundle``: verify a packed model, or look for what should not be in it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Add the verb, and its two ways, to the parser of the command."""
    parser = verbs.add_parser(
        "bundle",
        help="verify or scan a packed model",
        description="Look at a bundle that pack_model wrote.",
        allow_abbrev=False,
    )
    ways = parser.add_subparsers(title="ways", metavar="WAY", required=True)
    verify = ways.add_parser(
        "verify",
        help="load a bundle and compare its golden samples",
        description="Compare every file with the manifest, load the model, run the golden samples "
        "and compare the results with the recorded ones. The status is 1 when something differs.",
        allow_abbrev=False,
    )
    verify.add_argument(
        "--trust_user_code",
        action="store_true",
        help="run code of the bundle; read it first",
    )
    scan = ways.add_parser(
        "scan",
        help="look for secrets, paths, pickles and code",
        description="Look through a bundle without loading it: secrets, paths of somebody's "
        "machine, pickles, links that lead out, changed files, and what needs trust. The status "
        "is 1 when there is a problem; needing trust is none.",
        allow_abbrev=False,
    )
    for way in (verify, scan):
        way.add_argument(
            "bundle",
            metavar="BUNDLE",
            help="folder or archive of a bundle, or owner/name on the Hub",
        )
    verify.set_defaults(run=run_verify)
    scan.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what a scan finds, one line each."""
    from espnet3.publication.bundle_scan import scan_bundle
    from espnet3.publication.downloads import fetch_folder

    findings = scan_bundle(fetch_folder(args.bundle))
    problems = sum(finding.is_problem for finding in findings)
    lines = [str(finding) for finding in findings]
    needs_trust = len(findings) > problems
    lines.append(
        f"{args.bundle}: {problems or 'no'} problem{'' if problems == 1 else 's'}, "
        f"{'loads only with' if needs_trust else 'needs no'} trust_user_code"
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(problems > 0)


def run_verify(args: argparse.Namespace) -> int:
    """Load a bundle and run its golden samples."""
    from espnet3.publication import InferenceSession
    from espnet3.publication.golden import describe_agreement, verify_samples

    session = InferenceSession.from_pretrained(args.bundle, trust_user_code=args.trust_user_code)
    root = session.bundle_root or Path(args.bundle)
    files = _count_packed(root)
    count = verify_samples(session, root)
    sys.stdout.write(
        f"{args.bundle}: {files} files are as they were packed, {describe_agreement(count)}\n"
    )
    return 0


def _count_packed(root: Path) -> int:
    """Return the number of files in the manifest; loading has compared them."""
    from espnet3.errors import BundleError
    from espnet3.publication import bundle
    from espnet3.publication.upload_files import unlisted_files
    from espnet3.utils.printable import printable

    files = len(bundle.read_manifest(root))
    if files == 0:
        raise BundleError(
            f"{root} has no {bundle.MANIFEST_FILE}, or an empty one, so nobody knows what was "
            "packed\n  fetch or pack the bundle again"
        )
    later = unlisted_files(root)
    if later:
        raise BundleError(
            f"{root} holds what {bundle.MANIFEST_FILE} does not list: "
            f"{printable(', '.join(later[:5]))}\n"
            "  it came there after packing: remove it, or fetch or pack the bundle again"
        )
    return files
