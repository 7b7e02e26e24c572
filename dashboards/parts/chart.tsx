/** A time chart on uPlot: a line, a band around it, and limits; with a summary in words for those who cannot see it. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { formatTick } from './format.ts'

export type ChartData = {
  /** Milliseconds. */
  readonly timesMs: readonly number[]
  readonly values: readonly number[]
  readonly bandMin?: readonly number[]
  readonly bandMax?: readonly number[]
  /** A line from point to point unless the value stays until the next one. */
  readonly interpolation?: 'step' | 'linear'
  /** Constant lines across the chart. */
  readonly limits?: readonly number[]
  readonly expected?: { readonly min: number; readonly max: number }
  /** An instant that matters: a line across. */
  readonly markMs?: number
}

export function Chart({ data, label }: { data: ChartData; label: string }) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const latest = useRef(data)
  latest.current = data
  const shape = `${data.bandMin ? 'band' : ''}${data.expected ? 'expected' : ''}${data.interpolation ?? ''}${data.limits?.length ?? 0}`

  useEffect(() => {
    const element = host.current!
    const draw = () => {
      plot.current?.destroy()
      plot.current = new uPlot(optionsFor(latest.current, element), seriesOf(latest.current), element)
    }
    draw()
    const resized = new ResizeObserver(() => plot.current?.setSize(sizeOf(element)))
    resized.observe(element)
    // The canvas does not follow the theme by itself.
    const theme = matchMedia('(prefers-color-scheme: dark)')
    theme.addEventListener('change', draw)
    return () => {
      theme.removeEventListener('change', draw)
      resized.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [shape])

  useEffect(() => plot.current?.setData(seriesOf(data)), [data])

  return <div class="plot" ref={host} role="img" aria-label={label} />
}

function sizeOf(element: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, element.clientWidth), height: element.clientHeight || 180 }
}

function seriesOf({ timesMs, values, bandMin, bandMax, limits = [], expected }: ChartData): uPlot.AlignedData {
  const constant = (value: number) => timesMs.map(() => value)
  return [
    timesMs.map((time) => time / 1000),
    values,
    ...(bandMin && bandMax ? [bandMax, bandMin] : []),
    ...(expected ? [constant(expected.max), constant(expected.min)] : []),
    ...limits.map(constant),
  ] as unknown as uPlot.AlignedData
}

function optionsFor({ bandMin, interpolation, limits = [], expected, markMs }: ChartData, element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 0.5 }, ticks: { stroke: colour('--line') } }
  const path = interpolation === 'step' ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}
  const hidden = { stroke: 'transparent', points: { show: false }, ...path }
  const bands: uPlot.Band[] = []
  const series: uPlot.Series[] = [{}, { stroke: colour('--trace'), width: 1.5, points: { show: false }, ...path }]
  const addBand = (fill: string) => {
    series.push(hidden, hidden)
    bands.push({ series: [series.length - 2, series.length - 1], fill })
  }
  if (bandMin) addBand(colour('--band'))
  if (expected) addBand(colour('--expected'))
  for (const _ of limits) series.push({ stroke: colour('--critical'), width: 1, dash: [6, 4], points: { show: false } })
  return {
    ...sizeOf(element),
    series,
    bands,
    axes: [
      {
        ...axis,
        space: 80,
        values: (_, splits) =>
          splits.map((seconds, index) => formatTick(seconds * 1000, ((splits[1] ?? 0) - (splits[0] ?? 0)) * 1000, index === 0)),
      },
      { ...axis, size: 56 },
    ],
    legend: { show: false },
    hooks: markMs === undefined ? {} : { draw: [(plot) => drawMark(plot, markMs, colour('--trace'))] },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
  }
}

function drawMark(plot: uPlot, atMs: number, stroke: string): void {
  const x = Math.round(plot.valToPos(atMs / 1000, 'x', true))
  const { left, top, width, height } = plot.bbox
  if (x < left || x > left + width) return
  plot.ctx.save()
  plot.ctx.strokeStyle = stroke
  plot.ctx.setLineDash([2, 3])
  plot.ctx.beginPath()
  plot.ctx.moveTo(x, top)
  plot.ctx.lineTo(x, top + height)
  plot.ctx.stroke()
  plot.ctx.restore()
}
