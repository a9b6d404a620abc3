/**
 * What the API sends and takes, described once; `soundseek/server/schemas.py` is the source.
 * Every other module refers to these with `@typedef {import("./types.js").Hit} Hit` or in place.
 *
 * @typedef {"file" | "segment"} Per  The best segment of each file, or moments, each with its begin and end.
 *
 * @typedef {Object} FileFacts  What the library knows of a file.
 * @property {string} id              Hash of content and path.
 * @property {string} path            Absolute.
 * @property {string} name
 * @property {string} folder
 * @property {number} duration_s
 * @property {number} sample_rate_hz
 * @property {number} channels
 * @property {string} format          "WAV", "OGG/VORBIS" ...
 * @property {number} size_bytes
 * @property {string} modified        ISO 8601, UTC.
 * @property {string} media_type
 * @property {boolean} needs_preview  Browsers cannot play the file itself.
 * @property {boolean} is_favourite
 * @property {number | null} bit_depth      Null of a lossy file.
 * @property {number | null} loudness_dbfs  Null where it was not measured.
 *
 * @typedef {Object} Found            Where in a file a sound was found.
 * @property {number} start_s
 * @property {number} end_s
 * @property {number} score           Cosine, -1 to 1.
 * @property {number | null} match   Probability that a listener would agree, 0 to 1; null where it is not known.
 * @property {number[]} moments       Frame scores from `start_s` on; their mean is the cosine of that stretch.
 * @property {number} moment_s        The middle of the best one, from the file's beginning.
 * @property {number} frame_s         Seconds from one moment to the next.
 * @property {number | null} [window_s]  Length of a window, where the moments are window scores, one every `frame_s`.
 * @property {string[] | null} why    The words that carried the hit.
 * @property {string[]} [keywords]    Words of the query that the name, the folder or the tags hold.
 * @property {string | null} [clock]  When `moment_s` was recorded, ISO 8601, where the file knows.
 * @property {string | null} [library]  Address of the library that it is of, where several were searched.
 * @property {string} [note]          What the page says of it beside its folder.
 * @property {number} [group]         Number of its group of duplicates.
 * @property {boolean} [isSpare]      Among duplicates: it holds nothing that another file of its group lacks.
 *
 * @typedef {FileFacts & Found} Hit
 *
 * @typedef {Object} ItemFacts
 * @property {boolean} is_there
 * @property {boolean} is_truncated
 * @property {number} segments
 * @property {string[]} copies
 * @property {string[]} collections   Ids of the collections that it is in.
 * @property {{name: string, text: string}[]} [tags]  What the file says of itself.
 * @typedef {FileFacts & ItemFacts} Item
 *
 * @typedef {Object} Sound            A sound named by `id` or `upload`; all of it, or a region.
 * @property {string} [id]
 * @property {string} [upload]
 * @property {number} [start_s]
 * @property {number} [end_s]
 * @property {number} [weight]
 *
 * @typedef {Object} SearchRequest
 * @property {string} [text]
 * @property {number} [text_weight]
 * @property {Sound[]} [like]
 * @property {(Sound & {text?: string})[]} [not]
 * @property {string} [where]
 * @property {Filters} [filters]
 * @property {string[]} [within]      Ids.
 * @property {Per} [per]
 * @property {number} [k]
 * @property {number} [offset]
 * @property {boolean} [as_typed]
 * @property {boolean} [windows]
 * @property {string[]} [libraries]    Addresses.
 * @property {string} [taught]        Name of what was taught.
 * @property {number} [taught_weight]
 *
 * @typedef {Object} Filters
 * @property {{min?: number, max?: number}} [duration_s]
 * @property {{min?: number, max?: number}} [sample_rate_hz]
 * @property {string[]} [format]
 * @property {string[]} [folder]
 * @property {string} [modified_after]
 * @property {string} [modified_before]
 * @property {string} [name]
 *
 * @typedef {Object} SearchAnswer
 * @property {Hit[]} hits
 * @property {string} query           Names this query for `moments`.
 * @property {{query: string | null, typed: string | null, alternatives: string[][], not: string[], not_typed: string[], manners: string[]} | null} searched_for
 * @property {string[]} warnings
 * @property {number} total
 * @property {number | null} next_offset
 * @property {number} elapsed_ms
 *
 * @typedef {Object} Peaks            The lowest and highest sample of each of `n` equal pieces.
 * @property {number} start_s
 * @property {number} end_s
 * @property {number[]} min
 * @property {number[]} max
 *
 * @typedef {Object} Moments          The score of a whole file over time.
 * @property {number} frame_s
 * @property {number | null} [window_s]  Length of a window, where the library keeps windows and the scores are theirs.
 * @property {number[]} scores
 * @property {number} moment_s
 * @property {{start_s: number, end_s: number, score: number}[]} segments
 *
 * @typedef {Object} Upload
 * @property {string} upload
 * @property {string} name
 * @property {number} duration_s
 *
 * @typedef {Object} Collection
 * @property {string} id              "favourites", "7" ...
 * @property {string} name
 * @property {number} count
 *
 * @typedef {Object} CollectionEntry
 * @property {number} entry
 * @property {string} path
 * @property {number | null} start_s
 * @property {number | null} end_s
 * @property {Item | null} item       Null while the file is not in the library.
 * @typedef {Collection & {items: CollectionEntry[], next_offset: number | null}} CollectionContents
 *
 * @typedef {{id: string, name: string, right: number, wrong: number}} Taught  What was taught by marks.
 * @typedef {{mark: number, path: string, start_s: number | null, end_s: number | null, is_right: boolean, item: FileFacts | null}} Mark
 * @typedef {Taught & {marks: Mark[]}} TaughtContents
 * @typedef {{id: string, start_s?: number, end_s?: number, is_right: boolean}} NewMark
 *
 * @typedef {Object} DuplicatesState  A search for duplicates, and what the last one has found.
 * @property {"none" | "running" | "stopping" | "stopped" | "failed" | "ready"} state
 * @property {number | null} min_score
 * @property {number} total           Groups.
 * @property {number} more_files      Files in them beside the first of each.
 * @property {boolean} is_stale
 * @property {{files_done: number, files_total: number, elapsed_s: number, eta_s: number | null} | null} progress
 * @property {string | null} error
 *
 * @typedef {Object} DuplicateFile
 * @property {string} path
 * @property {"identical" | "copy" | "part" | "contains" | "overlap"} kind
 * @property {string} of
 * @property {number} score           Correlation of the waveforms, 0 to 1.
 * @property {"sure" | "likely" | "maybe"} surety    The same in a word.
 * @property {number} start_s
 * @property {number} end_s
 * @property {FileFacts | null} item
 * @typedef {DuplicatesState & {groups: {group: number, files: DuplicateFile[]}[], next_offset: number | null}} Duplicates
 *
 * @typedef {Object} SoundLabel
 * @property {string} label
 * @property {number} score           Cosine.
 * @property {number | null} match    Probability.
 * @property {string | null} cat_id   Of UCS.
 * @property {string | null} category     Of UCS.
 * @property {string | null} subcategory
 * @typedef {{id: string, path: string, start_s: number, end_s: number, labels: SoundLabel[]}} LabelledSound
 * @typedef {{items: Region[], labels: "audioset" | "ucs" | string[], k: number}} LabelsRequest
 *
 * @typedef {Object} Job              A run that indexes folders.
 * @property {string} id
 * @property {"running" | "stopping" | "stopped" | "done" | "failed"} state
 * @property {string[]} folders
 * @property {JobProgress | null} progress
 * @property {JobReport | null} report
 * @property {string | null} error
 *
 * @typedef {Object} JobProgress
 * @property {number} files_done
 * @property {number} files_total
 * @property {number} audio_s
 * @property {number} elapsed_s
 * @property {number | null} eta_s
 * @property {number | null} x_realtime
 * @property {string} current
 *
 * @typedef {{added: number, changed: number, moved: number, removed: number, unchanged: number, failed: number,
 *            audio_s: number, elapsed_s: number}} JobReport
 *
 * @typedef {{path: string, reason: string, seen_at: string}} Failure
 *
 * @typedef {{path: string, name: string, is_indexed: boolean}} Folder
 * @typedef {{path: string | null, parent: string | null, folders: Folder[]}} FolderList
 *
 * @typedef {Object} Library
 * @property {string} path
 * @property {string[]} folders
 * @property {number} files
 * @property {number} segments
 * @property {number} audio_hours
 * @property {string} model
 * @property {number} failures
 * @property {string | null} last_indexed
 * @property {number} version         Grows with every change.
 * @property {string[]} formats
 * @property {number[]} sample_rates_hz
 * @property {number} longest_s
 * @property {boolean} has_moments     False: the model's moments are flat, and `windows` tells them apart.
 * @property {Capabilities} can
 *
 * @typedef {{index: boolean, show_in_folder: boolean, export_folder: boolean, map: boolean,
 *            libraries?: {name: string, path: string, address: string, is_this: boolean}[]}} Capabilities  What this server can do.
 *
 * @typedef {Object} MapState
 * @property {"computing" | "ready" | "failed" | "empty"} state
 * @property {number} version
 * @property {boolean} is_stale
 * @property {number} count
 * @property {string[]} folders
 * @property {number} progress
 * @property {string | null} error
 *
 * @typedef {{id: string, start_s?: number, end_s?: number, score?: number, moment_s?: number}} Region
 * @typedef {Region & {match?: number, keywords?: string[]}} ExportedRegion
 *
 * @typedef {"csv" | "json" | "m3u" | "zip" | "folder" | "audacity" | "reaper" | "raven"} ExportFormat
 * @typedef {Object} ExportRequest
 * @property {ExportFormat} format
 * @property {ExportedRegion[]} items
 * @property {string} [folder]
 * @property {{before_s: number, after_s: number, format: "own" | "wav24"}} [cut]
 * @property {("audacity" | "reaper" | "raven")[]} [labels]
 * @property {string} [label_text]   What was looked for.
 *
 * @typedef {{folder: string, files: {path: string, id: string}[], skipped: {id: string, reason: string}[]}} ExportAnswer
 */

export {};
