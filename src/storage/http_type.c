#include "storage/http_type.h"

#include "wire/http.h"

static const struct {
    const char *suffix, *type;
} types[] = {{"aac", "audio/aac"}, {"apk", "application/vnd.android.package-archive"},
    {"avi", "video/x-msvideo"}, {"avif", "image/avif"}, {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"}, {"css", "text/css"}, {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"epub", "application/epub+zip"}, {"flac", "audio/flac"}, {"gif", "image/gif"},
    {"gz", "application/gzip"}, {"htm", "text/html"}, {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"}, {"jpeg", "image/jpeg"}, {"jpg", "image/jpeg"},
    {"js", "text/javascript"}, {"json", "application/json"}, {"m4a", "audio/mp4"},
    {"md", "text/markdown"}, {"mkv", "video/x-matroska"}, {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"}, {"mp4", "video/mp4"}, {"mpeg", "video/mpeg"}, {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"}, {"ogv", "video/ogg"}, {"opus", "audio/ogg"}, {"pdf", "application/pdf"},
    {"png", "image/png"}, {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rtf", "application/rtf"}, {"svg", "image/svg+xml"}, {"tar", "application/x-tar"},
    {"tif", "image/tiff"}, {"tiff", "image/tiff"}, {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"}, {"wav", "audio/wav"}, {"weba", "audio/webm"},
    {"webm", "video/webm"}, {"webp", "image/webp"}, {"woff", "font/woff"}, {"woff2", "font/woff2"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"}, {"zip", "application/zip"}, {"7z", "application/x-7z-compressed"}};

const char *http_type_of_suffix(const char *suffix_part)
{
    const char *dot = strrchr(suffix_part, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (http_word_equals(span_of_text(dot + 1), types[i].suffix))
            return types[i].type;
    return "application/octet-stream";
}
