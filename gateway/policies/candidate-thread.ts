// The thread in which candidates are read and tested, so that requests do not wait for it. One question, one answer; a
// fault of ours is an answer, too.
import { parentPort } from 'node:worker_threads';
import { ConfigurationError, type Finding } from '../../core/yaml-file.ts';
import type { Bundle } from './bundle.ts';
import { judgeCandidate, type CandidateSource } from './candidate.ts';

/** What the thread answers: the bundle, or why it must not be used. */
export type CandidateVerdict =
  { readonly bundle: Bundle } | { readonly findings: readonly Finding[] } | { readonly fault: string };

function verdictOn(source: CandidateSource): CandidateVerdict {
  try {
    return { bundle: judgeCandidate(source) };
  } catch (error) {
    if (error instanceof ConfigurationError) return { findings: error.findings };
    return { fault: error instanceof Error ? error.name : 'error' };
  }
}

parentPort?.on('message', (source: CandidateSource) => {
  parentPort?.postMessage(verdictOn(source));
});
