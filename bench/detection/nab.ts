/** The Numenta Anomaly Benchmark's development files, scored by its own rules; skipped where the files are not at hand. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { scoreSeries } from '../../detection/score-series.ts'
import { printRow } from '../measure.ts'

type Scored = {
  readonly score: number
  readonly threshold: number
  readonly found: number
  readonly windows: number
  readonly fpRows: number
  readonly categories: Record<string, { readonly score: number | null; readonly raw: number }>
}
type Scorer = {
  loadCorpus(folder: string): { readonly nRows: number }
  runDetector(
    corpus: object,
    factory: () => { update(value: number, timeMs: number): number },
  ): { scores: Float64Array[]; nsPerReading: number }
  scoreCorpus(corpus: object, scores: Float64Array[], options?: { fixedThreshold: number }): Record<string, Scored>
  leaveOneCategoryOut(corpus: object, scores: Float64Array[]): { readonly score: number }
}

export async function measureNab(): Promise<void> {
  const shared = resolve(import.meta.dirname, '../../../shared')
  const tool = resolve(shared, 'tools/nab-score.mjs')
  if (!existsSync(tool)) return printRow('Numenta benchmark', 'skipped: its files are not here')
  const { loadCorpus, runDetector, scoreCorpus, leaveOneCategoryOut } = (await import(pathToFileURL(tool).href)) as Scorer
  const corpus = loadCorpus(resolve(shared, 'data/nab'))
  const { scores } = runDetector(corpus, () => {
    const score = scoreSeries()
    return { update: (value, timeMs) => score(timeMs, value).score }
  })
  const profiles = scoreCorpus(corpus, scores)
  const { standard } = profiles
  for (const [name, { score }] of Object.entries(profiles)) printRow(`NAB, ${name.replaceAll('_', ' ')}`, score.toFixed(1))
  printRow('NAB, threshold chosen on the other categories', leaveOneCategoryOut(corpus, scores).score.toFixed(1))
  printRow(
    'NAB, threshold',
    `${standard!.threshold.toFixed(3)}: ${standard!.found} of ${standard!.windows} windows, ${standard!.fpRows} false in ${corpus.nRows} readings`,
  )
  for (const [name, { score, raw }] of Object.entries(standard!.categories))
    printRow(`NAB, ${name}`, score === null ? `${raw.toFixed(1)} (no anomaly to find)` : score.toFixed(1))
}
