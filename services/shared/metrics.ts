import * as prom from 'prom-client'

/** Labels of a metric with all values they may take; any other value is counted as `other`, so that series stay few. */
export type Labels<L extends string> = Readonly<Record<L, readonly string[] | FirstComers>>
/** Values that are not known beforehand: so many different ones as come first. */
export interface FirstComers {
  first: number
}
export type LabelValues<L extends string> = Readonly<Record<L, string>>

/** Name without the prefix `proclabel_`, in base units: `_seconds`, `_bytes`, counters with `_total`. */
export interface MetricDefinition<L extends string = never> {
  name: string
  help: string
  labels?: Labels<L>
}

export interface HistogramDefinition<L extends string = never> extends MetricDefinition<L> {
  /** Upper bounds, ascending. */
  buckets: readonly number[]
}

/** Arguments after the value: the labels, where the metric has any. */
type LabelArguments<L extends string> = [L] extends [never] ? [] : [labels: LabelValues<L>]

export interface Counter<L extends string = never> {
  add: (value: number, ...labels: LabelArguments<L>) => void
}
export interface Gauge<L extends string = never> {
  set: (value: number, ...labels: LabelArguments<L>) => void
}
export interface Histogram<L extends string = never> {
  observe: (value: number, ...labels: LabelArguments<L>) => void
}

/** What a service measures through. Metrics with labels show all their series from the beginning, at 0. */
export interface Metrics {
  counter: <L extends string = never>(definition: MetricDefinition<L>) => Counter<L>
  /** `read`, if given, is asked whenever the metrics are collected. */
  gauge: <L extends string = never>(definition: MetricDefinition<L>, read?: () => number) => Gauge<L>
  histogram: <L extends string = never>(definition: HistogramDefinition<L>) => Histogram<L>
  /** `measure` is called whenever the metrics are about to be collected. */
  onCollect: (measure: () => void) => void
}

/** Measures nothing: for the embedded mode and tests. */
export const noMetrics: Metrics = Object.freeze({
  counter: () => ({ add: () => {} }),
  gauge: () => ({ set: () => {} }),
  histogram: () => ({ observe: () => {} }),
  onCollect: () => {},
})

/** From 5 ms to a minute: how long a step of the pipeline takes. */
export const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** From 0.1 s to ten minutes: how long it takes until a packet has its label. */
export const delayBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60, 120, 300, 600]
/** Powers of four: records in a batch. */
export const sizeBuckets = [1, 4, 16, 64, 256, 1024, 4096, 16_384]

/** How often the event loop's delay is looked at, which wakes the process; the usual 10 ms cost an idle agent much of its time. */
const eventLoopLookMs = 100

/** Metrics of one service in the Prometheus text format, with those of the process and of Node. */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new prom.Registry()
  readonly #measures: (() => void)[] = []

  /** `version` and `revision` say what runs. */
  constructor(service: string, version: string) {
    this.#registry.setDefaultLabels({ service })
    prom.collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: eventLoopLookMs })
    const build = { version: [version], node_version: [process.version] }
    this.gauge({ name: 'build_info', help: 'What runs; always 1', labels: build }).set(1, {
      version,
      node_version: process.version,
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    for (const measure of this.#measures) measure()
    return this.#registry.metrics()
  }

  counter<L extends string = never>(definition: MetricDefinition<L>): Counter<L> {
    const counter = new prom.Counter(this.#options(definition))
    const bounded = boundedLabels(definition)
    for (const labels of series(definition)) counter.inc(labels, 0)
    return { add: (value, ...[labels]) => counter.inc(bounded(labels), value) }
  }

  gauge<L extends string = never>(definition: MetricDefinition<L>, read?: () => number): Gauge<L> {
    const gauge = new prom.Gauge({
      ...this.#options(definition),
      ...(read && {
        collect(this: prom.Gauge) {
          this.set(read())
        },
      }),
    })
    const bounded = boundedLabels(definition)
    for (const labels of series(definition)) gauge.set(labels, 0)
    return { set: (value, ...[labels]) => gauge.set(bounded(labels), value) }
  }

  histogram<L extends string = never>(definition: HistogramDefinition<L>): Histogram<L> {
    const histogram = new prom.Histogram({ ...this.#options(definition), buckets: [...definition.buckets] })
    const bounded = boundedLabels(definition)
    for (const labels of series(definition)) histogram.zero(labels)
    return { observe: (value, ...[labels]) => histogram.observe(bounded(labels), value) }
  }

  onCollect(measure: () => void): void {
    this.#measures.push(measure)
  }

  #options({ name, help, labels }: MetricDefinition<string>) {
    return {
      name: `proclabel_${name}`,
      help,
      labelNames: Object.keys(labels ?? {}),
      registers: [this.#registry],
    }
  }
}

/** Every combination of label values; one without labels for a metric that has none. */
function series({ labels = {} }: MetricDefinition<string>): Record<string, string>[] {
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (combinations, [name, values]) =>
      combinations.flatMap(before =>
        ('first' in values ? ['other'] : values).map(value => ({ ...before, [name]: value })),
      ),
    [{}],
  )
}

/** Puts `other` for values that the definition has no place for. */
function boundedLabels({ labels = {} }: MetricDefinition<string>) {
  const known = Object.entries(labels).map(([name, values]) =>
    'first' in values
      ? { name, values: new Set<string>(), room: values.first }
      : { name, values: new Set(values), room: values.length },
  )
  return (given: LabelValues<string> = {}): Record<string, string> => {
    const bounded: Record<string, string> = {}
    for (const { name, values, room } of known) {
      const value = given[name] ?? 'other'
      if (values.size < room) values.add(value)
      bounded[name] = values.has(value) ? value : 'other'
    }
    return bounded
  }
}
